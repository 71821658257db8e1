// What PCIe cards and ports count (advanced error reporting). A transfer that was repeated costs time only; one that was lost costs data.
import { countTotal, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, Finding, PcieReading } from './types.ts';

export interface PcieMemory {
  devices: ReadonlyMap<string, { corrected: RateMemory; lost: RateMemory }>;
}
export const FRESH_PCIE: PcieMemory = { devices: new Map() };

const HOUR_MS = 3_600_000;
/** Some cards repeat a transfer now and then for all their life. */
export const CORRECTED_PER_HOUR = 100;

export function diagnosePcie(memory: PcieMemory, devices: readonly PcieReading[], at: number): Diagnosis<PcieMemory> {
  const next = new Map<string, { corrected: RateMemory; lost: RateMemory }>();
  const findings: Finding[] = [];
  for (const d of devices) {
    const before = memory.devices.get(d.where);
    const corrected = countTotal(before?.corrected ?? FRESH_RATE, d.corrected, at, HOUR_MS);
    const lost = countTotal(before?.lost ?? FRESH_RATE, d.nonFatal + d.fatal, at, HOUR_MS);
    next.set(d.where, { corrected, lost });
    if (inWindow(lost) > 0)
      findings.push({
        code: 'pcieUncorrected',
        where: d.where,
        detail: `${inWindow(lost)} in the last hour (in all ${d.nonFatal} not fatal, ${d.fatal} fatal)`,
      });
    if (inWindow(corrected) >= CORRECTED_PER_HOUR)
      findings.push({ code: 'pcieCorrectedRate', where: d.where, detail: `${inWindow(corrected)} in the last hour` });
  }
  return { memory: { devices: next }, findings };
}
