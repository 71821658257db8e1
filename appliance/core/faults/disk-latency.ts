// How long disks take, against what they usually take. A disk that dies slowly is slow first, and says nothing.
//
// The mean of the requests between two readings, against the slow average of such means. A few slow seconds are a full queue; the
// ledger asks for several readings in a row before it is a fault. The hung disk is the mirror's: it has its own time-out.
import type { Diagnosis, DiskLatencyReading, Finding } from './types.ts';

export interface DiskLatencyMemory {
  disks: ReadonlyMap<string, DiskMemory>;
}
interface DiskMemory {
  last: DiskLatencyReading;
  /** ms per request, averaged; null: not known yet. */
  usualMs: number | null;
  readings: number;
}
export const FRESH_DISK_LATENCY: DiskLatencyMemory = { disks: new Map() };

/** About ten minutes at one reading in five seconds. */
const LEARN_READINGS = 120;
const TREND_FROM_READINGS = 12;
/** Of few requests the mean says little. */
const REQUESTS_AT_LEAST = 5;
export const SLOWER_TIMES = 20;
/** No disk in good order takes so long in the mean, and below it nobody complains. */
export const SLOW_MS = 200;

export function diagnoseDiskLatency(memory: DiskLatencyMemory, disks: readonly DiskLatencyReading[]): Diagnosis<DiskLatencyMemory> {
  const next = new Map<string, DiskMemory>();
  const findings: Finding[] = [];
  for (const disk of disks) {
    const before = memory.disks.get(disk.disk);
    const mean = before ? meanMs(before.last, disk) : null;
    const usual = before?.usualMs ?? null;
    const readings = before?.readings ?? 0;
    if (!before || mean === null) {
      next.set(disk.disk, { last: disk, usualMs: usual, readings });
      continue;
    }
    const isSlow = mean >= SLOW_MS && readings >= TREND_FROM_READINGS && usual !== null && mean > usual * SLOWER_TIMES;
    if (isSlow)
      findings.push({ code: 'diskSlow', where: disk.disk, detail: `${Math.round(mean)} ms a request, usually ${usual.toFixed(1)} ms` });
    next.set(
      disk.disk,
      isSlow ? { last: disk, usualMs: usual, readings } : { last: disk, usualMs: learn(usual, mean, readings), readings: readings + 1 },
    );
  }
  return { memory: { disks: next }, findings };
}

/** null: too few requests, or the counters began anew. */
function meanMs(before: DiskLatencyReading, now: DiskLatencyReading): number | null {
  const requests = now.reads - before.reads + now.writes - before.writes + now.flushes - before.flushes;
  const ms = now.readMs - before.readMs + now.writeMs - before.writeMs + now.flushMs - before.flushMs;
  return requests >= REQUESTS_AT_LEAST && ms >= 0 ? ms / requests : null;
}

function learn(usual: number | null, mean: number, readings: number): number {
  if (usual === null) return mean;
  return usual + (mean - usual) / Math.min(readings + 1, LEARN_READINGS);
}
