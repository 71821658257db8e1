// What disks say of themselves. The intuition: their own verdict counts; of the figures behind it only those that grow do.
//
// A disk that was bought used has reallocated sectors since long and may live for years; one that finds five in a day will not. Zero
// spare of a threshold of zero is how disks say "I do not count spares" (QEMU's NVMe does).
import { countTotal, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, Finding, Reading, SmartReading } from './types.ts';

export interface SmartMemory {
  disks: ReadonlyMap<string, DiskMemory>;
}
interface Figures {
  defects: RateMemory;
  transfers: RateMemory;
  hot: boolean;
}
interface DiskMemory extends Figures {
  disk: string;
  findings: readonly Finding[];
}
export const FRESH_SMART: SmartMemory = { disks: new Map() };

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Reallocated, pending and not correctable, together. */
export const DEFECTS_PER_DAY = 5;
/** A cable in good order has none in years. */
export const TRANSFERS_PER_HOUR = 5;
const WORN_PERCENT = 95;
/** Above what makers specify for long life; their own critical limit is some degrees higher. */
const HOT_C: Record<SmartReading['kind'], number> = { ata: 60, scsi: 65, nvme: 80 };
/** It must cool down so far before it counts as cool. */
const COOLER_BY_C = 5;
const READ_ONLY = /read[- ]only/i;
/** SMART is asked for every disk alike: what has gone from the list is forgotten. */
export function diagnoseSmart(
  memory: SmartMemory,
  { disks, failed }: Pick<Extract<Reading, { source: 'smart' }>, 'disks' | 'failed'>,
  at: number,
): Diagnosis<SmartMemory> {
  const next = new Map<string, DiskMemory>();
  const findings: Finding[] = [];
  for (const disk of disks) {
    // The serial, not the name: another disk may come up under it.
    const key = `${disk.model} ${disk.serial}`;
    const before = memory.disks.get(key) ?? { defects: FRESH_RATE, transfers: FRESH_RATE, hot: false };
    const figures = {
      defects: total(before.defects, defectsOf(disk), at, DAY_MS),
      transfers: total(before.transfers, disk.interfaceErrors, at, HOUR_MS),
      hot: isHot(disk, before.hot),
    };
    const where = `${disk.disk} (${disk.model}, serial ${disk.serial})`;
    const found = judge(disk, figures).map((f) => ({ ...f, where }));
    next.set(key, { ...figures, disk: disk.disk, findings: found });
    findings.push(...found);
  }
  for (const { disk, reason } of failed) {
    findings.push({ code: 'sourceUnreadable', where: `SMART of ${disk}`, detail: reason });
    // What it said last stands: it may not answer because it dies.
    for (const [key, known] of memory.disks) {
      if (known.disk !== disk || next.has(key)) continue;
      next.set(key, known);
      findings.push(...known.findings);
    }
  }
  return { memory: { disks: next }, findings };
}

function judge(d: SmartReading, known: Figures): Omit<Finding, 'where'>[] {
  const found: Omit<Finding, 'where'>[] = [];
  const verdict = verdictOf(d);
  if (verdict) found.push(verdict);
  const defects = inWindow(known.defects);
  if (defects >= DEFECTS_PER_DAY)
    found.push({ code: 'diskGrowingDefects', detail: `${defects} more within a day, ${defectsOf(d)} in all` });
  const transfers = inWindow(known.transfers);
  if (transfers >= TRANSFERS_PER_HOUR) found.push({ code: 'diskCable', detail: `${transfers} within an hour` });
  if (d.percentUsed !== null && d.percentUsed >= WORN_PERCENT)
    found.push({ code: 'diskWorn', detail: `${d.percentUsed} % of its life is used by its own reckoning` });
  if (known.hot) found.push({ code: 'diskHot', detail: `${d.temperatureC} C` });
  return found;
}

function verdictOf(d: SmartReading): Omit<Finding, 'where'> | null {
  if (d.criticalWarnings.some((w) => READ_ONLY.test(w))) return { code: 'diskFailing', detail: d.criticalWarnings.join(', ') };
  const signs = [
    ...(d.passed === false ? ['its own test does not pass'] : []),
    // Heat is told by itself.
    ...d.criticalWarnings.filter((w) => !/temperature/i.test(w)),
    ...d.failingAttributes,
    ...(d.selfTestFailed ? ['its last self-test failed'] : []),
    ...(spareIsLow(d) ? [`${d.availableSparePercent} % spare, the limit is ${d.spareThresholdPercent} %`] : []),
  ];
  const onlyHeat = d.passed === false && signs.length === 1 && d.criticalWarnings.length > 0;
  return signs.length > 0 && !onlyHeat ? { code: 'diskPreFail', detail: signs.join(', ') } : null;
}

function spareIsLow(d: SmartReading): boolean {
  return d.availableSparePercent !== null && d.spareThresholdPercent !== null && d.availableSparePercent < d.spareThresholdPercent;
}

function defectsOf(d: SmartReading): number | null {
  const counts = [d.reallocatedSectors, d.pendingSectors, d.uncorrectedErrors].filter((n) => n !== null);
  return counts.length === 0 ? null : counts.reduce((sum, n) => sum + n, 0);
}

/** A defect that was pending and is reallocated is the same one, and a total that falls by that is no new beginning. */
function total(memory: RateMemory, value: number | null, at: number, windowMs: number): RateMemory {
  if (value === null) return memory;
  if (memory.total !== null && value < memory.total) return { ...countTotal(memory, memory.total, at, windowMs), total: value };
  return countTotal(memory, value, at, windowMs);
}

function isHot(d: SmartReading, before: boolean): boolean {
  if (d.temperatureC === null) return false;
  const limit = HOT_C[d.kind];
  return d.temperatureC >= (before ? limit - COOLER_BY_C : limit);
}
