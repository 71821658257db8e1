// Where the calling thread runs, and two clocks of the kernel read together: what Node does not offer.
import { readFileSync } from 'node:fs';
import { native } from './native.ts';

/** The calling thread runs on this CPU only from now on. Throws EINVAL for a CPU that is not there or not allowed. */
export function setThreadCpu(cpu: number): void {
  native().pin(cpu);
}

/** "0-3,8" -> [0, 1, 2, 3, 8]. Throws RangeError. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .flatMap((part) => {
      const [, from = '', to = from] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
      if (from === '' || Number(to) < Number(from)) throw new RangeError(`"${text.trim().slice(0, 80)}" is no list of CPUs`);
      return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i);
    });
}

/** The CPUs that this process may run on. */
export function allowedCpus(status = readFileSync('/proc/self/status', 'latin1')): number[] {
  return parseCpuList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '0');
}

export interface Clocks {
  /** CLOCK_MONOTONIC_RAW: the oscillator as it is, corrected by nobody. */
  rawNs: number;
  /** CLOCK_REALTIME, from 2020 on. */
  realtimeNs: number;
  /** Both were read within this. */
  withinNs: number;
}

export function readClocks(): Clocks {
  const answer = new Float64Array(3);
  native().clocks(Buffer.from(answer.buffer));
  const [rawNs = 0, realtimeNs = 0, withinNs = 0] = answer;
  return { rawNs, realtimeNs, withinNs };
}
