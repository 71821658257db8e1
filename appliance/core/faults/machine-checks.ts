// What processors report of themselves (machine checks). One that was not corrected ends this server (row 17); corrected ones count by bank.
import { countEvents, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, Finding, MachineCheckReading } from './types.ts';

export interface MachineChecksMemory {
  corrected: Readonly<Record<string, RateMemory>>;
  /** The last one in words, by place. */
  last: Readonly<Record<string, string>>;
  uncorrected: readonly (Finding & { at: number })[];
}
export const FRESH_MACHINE_CHECKS: MachineChecksMemory = { corrected: {}, last: {}, uncorrected: [] };

const HOUR_MS = 3_600_000;
export const CORRECTED_PER_HOUR = 10;
/** The first one ends the server already. */
const UNCORRECTED_LIMIT = 16;

export function diagnoseMachineChecks(
  memory: MachineChecksMemory,
  checks: readonly MachineCheckReading[],
  at: number,
): Diagnosis<MachineChecksMemory> {
  const placeOf = (c: MachineCheckReading): string =>
    c.cpu === null || c.bank === null ? 'processor or memory' : `processor ${c.cpu}, bank ${c.bank}`;
  const fresh = checks.filter((c) => c.corrected);
  const last = { ...memory.last };
  for (const c of fresh) last[placeOf(c)] = c.text;
  const corrected: Record<string, RateMemory> = {};
  for (const where of new Set([...Object.keys(memory.corrected), ...fresh.map(placeOf)])) {
    const rate = countEvents(memory.corrected[where] ?? FRESH_RATE, fresh.filter((c) => placeOf(c) === where).length, at, HOUR_MS);
    if (rate.events.length > 0) corrected[where] = rate;
    else delete last[where];
  }
  const uncorrected = [
    ...memory.uncorrected.filter((u) => at - u.at < HOUR_MS),
    ...checks.filter((c) => !c.corrected).map((c) => ({ code: 'processorUncorrected' as const, where: placeOf(c), detail: c.text, at })),
  ].slice(-UNCORRECTED_LIMIT);
  const findings = [
    ...uncorrected.map(({ code, where, detail }): Finding => ({ code, where, detail })),
    ...Object.entries(corrected)
      .filter(([, rate]) => inWindow(rate) >= CORRECTED_PER_HOUR)
      .map(
        ([where, rate]): Finding => ({
          code: 'processorCorrectedRate',
          where,
          detail: `${inWindow(rate)} corrected in the last hour: ${last[where] ?? ''}`,
        }),
      ),
  ];
  return { memory: { corrected, last, uncorrected }, findings };
}
