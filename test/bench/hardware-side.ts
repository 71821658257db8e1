// The process that hardware-bench.ts measures: a clock as the main thread has it, and beside it the appliance's own watch of the hardware, its
// thread started for the slices that have it. One process for all slices, in the order without, with, with, without: what changes with time
// is in both.
import { readFileSync } from 'node:fs';
import { raisePriority } from '../../appliance/runtime/priority.ts';
import { HardwareWatch } from '../../appliance/runtime/sources/hardware.ts';
import type { Slice } from './hardware-figures.ts';

const CLOCK_MS = 5;
/** Before each slice: a thread that loads its code, or has just ended, does not count. A CoServer runs for months. */
const SETTLE_MS = 3_000;
/** USER_HZ is 100 on every Linux. */
const TICK_MS = 10;
const ORDER = [false, true, true, false] as const;

const [secondsText, roundsText] = process.argv.slice(2);

/** Of this process, to the microsecond, and of what it started and saw end. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const children = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(13, 15);
  return (user + system) / 1000 + children.reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0);
}

function mainThreadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

async function slice(watched: boolean, seconds: number): Promise<Slice> {
  const watch = new HardwareWatch({
    script: new URL('./hardware-side-worker.ts', import.meta.url),
    setup: watched ? { bmc: '/dev/ipmi0', copy: '', nics: [], stateDir: '' } : null,
    onFaults: () => undefined,
    now: () => performance.now(),
  });
  watch.start();
  await settled();
  const [began, cpuBefore] = [performance.now(), cpuMs()];
  const { latenessMs, turnCpuMs } = await turns(began + seconds * 1000);
  const cpuPercent = ((cpuMs() - cpuBefore) / (performance.now() - began)) * 100;
  const readings = watch.latest?.sources.map(({ source, state, tookMs }) => ({ source, state, tookMs })) ?? [];
  await watch.stop();
  return { watched, cpuPercent, latenessMs, turnCpuMs, readings };
}

function turns(until: number): Promise<Pick<Slice, 'latenessMs' | 'turnCpuMs'>> {
  return new Promise((resolve) => {
    const latenessMs: number[] = [];
    const turnCpuMs: number[] = [];
    let due = performance.now() + CLOCK_MS;
    let cpu = mainThreadMs();
    const turn = (): void => {
      const now = performance.now();
      const spent = mainThreadMs();
      latenessMs.push(now - due);
      turnCpuMs.push(spent - cpu);
      cpu = spent;
      if (now >= until) {
        resolve({ latenessMs, turnCpuMs });
        return;
      }
      due = now + CLOCK_MS;
      setTimeout(turn, CLOCK_MS);
    };
    setTimeout(turn, CLOCK_MS);
  });
}

raisePriority();
for (let round = 0; round < Number(roundsText); round++)
  for (const watched of ORDER) {
    const measured = await slice(watched, Number(secondsText));
    await new Promise((sent) => process.send?.(measured, sent));
  }
process.exit();
