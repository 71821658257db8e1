// What the memory controllers count (EDAC): corrected errors by module, and those that were not.
//
// Ten corrected errors of one module within an hour: the module is on its way out. One that was not corrected: the server may already
// have computed with wrong data, and ends itself (row 17).
import { countTotal, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, Finding, MemoryReading } from './types.ts';

export interface MemoryMemory {
  rows: ReadonlyMap<string, { corrected: RateMemory; uncorrected: RateMemory }>;
}
export const FRESH_MEMORY: MemoryMemory = { rows: new Map() };

const HOUR_MS = 3_600_000;
export const CORRECTED_PER_HOUR = 10;

export function diagnoseMemory(memory: MemoryMemory, rows: readonly MemoryReading[], at: number): Diagnosis<MemoryMemory> {
  const next = new Map<string, { corrected: RateMemory; uncorrected: RateMemory }>();
  const findings: Finding[] = [];
  for (const row of rows) {
    const before = memory.rows.get(row.where);
    const corrected = countTotal(before?.corrected ?? FRESH_RATE, row.corrected, at, HOUR_MS);
    const uncorrected = countTotal(before?.uncorrected ?? FRESH_RATE, row.uncorrected, at, HOUR_MS);
    next.set(row.where, { corrected, uncorrected });
    const lost = inWindow(uncorrected);
    const mended = inWindow(corrected);
    if (lost > 0)
      findings.push({ code: 'memoryUncorrected', where: row.where, detail: `${lost} not corrected, ${row.uncorrected} in all` });
    if (mended >= CORRECTED_PER_HOUR)
      findings.push({
        code: 'memoryCorrectedRate',
        where: row.where,
        detail: `${mended} corrected in the last hour, ${row.corrected} in all`,
      });
  }
  return { memory: { rows: next }, findings };
}
