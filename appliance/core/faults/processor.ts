// Is the processor slowed down by its heat, and does the kernel still trust its clock?
import { countTotal, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { CpuReading, Diagnosis, Finding } from './types.ts';

export interface ProcessorMemory {
  throttled: RateMemory;
  /** What the kernel took the time from at first. */
  clocksource: string;
}
export const FRESH_PROCESSOR: ProcessorMemory = { throttled: FRESH_RATE, clocksource: '' };

const WINDOW_MS = 600_000;

export function diagnoseProcessor(memory: ProcessorMemory, cpu: CpuReading, at: number): Diagnosis<ProcessorMemory> {
  const throttled = cpu.throttled === null ? memory.throttled : countTotal(memory.throttled, cpu.throttled, at, WINDOW_MS);
  const clocksource = memory.clocksource || cpu.clocksource;
  const findings: Finding[] = [];
  const times = inWindow(throttled);
  if (times > 0) findings.push({ code: 'processorThrottled', where: '', detail: `${times} times within ten minutes` });
  if (clocksource === 'tsc' && cpu.clocksource !== '' && cpu.clocksource !== 'tsc')
    findings.push({ code: 'clockUnstable', where: '', detail: `it takes the time from ${cpu.clocksource} now` });
  return { memory: { throttled, clocksource }, findings };
}
