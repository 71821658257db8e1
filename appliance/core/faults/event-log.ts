// What the BMC's event log says that no sensor shows: memory and processor errors, PCIe.
//
// Entries from before this process are history: they are counted by nobody. Heat, fans, power supplies and drives are left to the
// sensors, which also say when it is over; a log often does not.
import { countEvents, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, Finding, SelReading } from './types.ts';

export interface EventLogMemory {
  started: boolean;
  /** Of corrected memory errors, by place. */
  corrected: ReadonlyMap<string, RateMemory>;
  /** What happened once and is told for HOLD_MS. */
  held: readonly (Finding & { at: number })[];
}
export const FRESH_EVENT_LOG: EventLogMemory = { started: false, corrected: new Map(), held: [] };

const HOUR_MS = 3_600_000;
/** BMCs write one entry for many errors already. */
export const CORRECTED_PER_HOUR = 10;
/** An error that happened is told for an hour, then it is in the history. */
const HOLD_MS = HOUR_MS;
/** Places: more modules than any server has. */
const HELD_LIMIT = 64;

export function diagnoseEventLog(memory: EventLogMemory, entries: readonly SelReading[], at: number): Diagnosis<EventLogMemory> {
  const fresh = memory.started ? entries.filter((e) => e.asserted) : [];
  const corrected = new Map<string, RateMemory>();
  for (const where of new Set([...memory.corrected.keys(), ...fresh.filter((e) => e.what === 'memoryCorrected').map((e) => e.where)])) {
    const count = fresh.filter((e) => e.what === 'memoryCorrected' && e.where === where).length;
    const rate = countEvents(memory.corrected.get(where) ?? FRESH_RATE, count, at, HOUR_MS);
    if (rate.events.length > 0) corrected.set(where, rate);
  }
  const held = [...memory.held.filter((h) => at - h.at < HOLD_MS), ...fresh.flatMap((e) => lasting(e, at))].slice(-HELD_LIMIT);
  const rates = [...corrected]
    .filter(([, rate]) => inWindow(rate) >= CORRECTED_PER_HOUR)
    .map(([where, rate]): Finding => ({ code: 'memoryCorrectedRate', where, detail: `${inWindow(rate)} entries in the last hour` }));
  const findings = [...rates, ...held.map(({ code, where, detail }): Finding => ({ code, where, detail }))];
  return { memory: { started: true, corrected, held }, findings };
}

function lasting(e: SelReading, at: number): (Finding & { at: number })[] {
  const finding = (code: Finding['code']): (Finding & { at: number })[] => [{ code, where: e.where, detail: e.text, at }];
  switch (e.what) {
    case 'memoryUncorrected':
      return finding('memoryUncorrected');
    case 'memoryLogFull':
      return finding('memoryCorrectedRate');
    case 'processorError':
      return finding('processorUncorrected');
    case 'pcieFatal':
      return finding('pcieUncorrected');
    case 'memoryCorrected':
    case 'processorThermalTrip':
    case 'powerSupplyFailed':
    case 'powerSupplyInputLost':
    case 'powerSupplyPredictive':
    case 'fan':
    case 'temperature':
    case 'voltage':
    case 'driveFault':
    case 'drivePredictive':
    case 'pcieCorrected':
    case 'watchdog':
    case 'logCleared':
    case 'other':
      return [];
    default:
      return e.what satisfies never;
  }
}
