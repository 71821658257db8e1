// What network ports count: damaged frames, a carrier that comes and goes, a speed below what it was.
//
// Also a port over which nothing goes at the moment is judged: it may be needed in a second.
import { countTotal, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, Finding, NicReading } from './types.ts';

export interface NicsMemory {
  nics: ReadonlyMap<string, NicMemory>;
}
interface NicMemory {
  frames: RateMemory;
  errors: RateMemory;
  changes: RateMemory;
  /** The best speed seen. */
  bestMbps: number;
}
export const FRESH_NICS: NicsMemory = { nics: new Map() };

const WINDOW_MS = 600_000;
/** A gigabit port at its specified error rate (1 bit in 10^10) damages about one frame in a million; ten times that is a fault. */
export const ERRORS_PER_FRAME = 1e-5;
export const ERRORS_AT_LEAST = 10;
/** A partner that starts anew is six on a crossover cable: off, its firmware, its kernel, each with a carrier lost and found. */
export const CARRIER_CHANGES = 12;

export function diagnoseNics(memory: NicsMemory, nics: readonly NicReading[], at: number): Diagnosis<NicsMemory> {
  const next = new Map<string, NicMemory>();
  const findings: Finding[] = [];
  for (const n of nics) {
    const before = memory.nics.get(n.nic) ?? { frames: FRESH_RATE, errors: FRESH_RATE, changes: FRESH_RATE, bestMbps: 0 };
    const known: NicMemory = {
      frames: countTotal(before.frames, n.frames, at, WINDOW_MS),
      errors: countTotal(before.errors, n.receiveErrors + n.transmitErrors, at, WINDOW_MS),
      changes: countTotal(before.changes, n.carrierChanges, at, WINDOW_MS),
      bestMbps: Math.max(before.bestMbps, n.speedMbps ?? 0),
    };
    next.set(n.nic, known);
    findings.push(...judge(n, known).map((f) => ({ ...f, where: `${n.nic} (${n.role})` })));
  }
  return { memory: { nics: next }, findings };
}

function judge(n: NicReading, known: NicMemory): Omit<Finding, 'where'>[] {
  const found: Omit<Finding, 'where'>[] = [];
  if (!n.carrier) found.push({ code: 'nicDown', detail: 'no carrier' });
  const changes = inWindow(known.changes);
  if (changes >= CARRIER_CHANGES) found.push({ code: 'nicFlapping', detail: `${changes} changes within ten minutes` });
  const errors = inWindow(known.errors);
  const frames = inWindow(known.frames);
  if (errors >= ERRORS_AT_LEAST && errors > frames * ERRORS_PER_FRAME)
    found.push({ code: 'nicErrors', detail: `${errors} beside ${frames} whole ones within ten minutes` });
  if (n.carrier && n.fullDuplex === false) found.push({ code: 'nicSlow', detail: 'half duplex' });
  else if (n.carrier && n.speedMbps !== null && n.speedMbps < known.bestMbps)
    found.push({ code: 'nicSlow', detail: `${n.speedMbps} Mbit/s, it had ${known.bestMbps}` });
  return found;
}
