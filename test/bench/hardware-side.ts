// The process that hardware-bench.ts measures: a clock as the main thread has it, with or without the thread that reads the hardware.
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { HardwareCommands, HardwareEvents } from '../../appliance/hardware/api.ts';
import { raisePriority } from '../../appliance/runtime/priority.ts';
import { Caller } from '../../appliance/wire/rpc.ts';
import type { SideFigures } from './hardware-bench.ts';

const CLOCK_MS = 10;
/** What is compiled and opened first does not count: a CoServer runs for months. */
const WARM_UP_S = 3;
/** USER_HZ is 100 on every Linux. */
const TICK_MS = 10;

const [mode, secondsText] = process.argv.slice(2);
const seconds = Number(secondsText);
raisePriority();
const worker = mode === 'watched' ? new Worker(new URL('./hardware-side-worker.ts', import.meta.url)) : null;
const caller = worker ? new Caller<HardwareCommands, HardwareEvents>('hardware', worker) : null;

/** Of this process and of what it started and saw end. */
function cpuMs(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0);
}

const lateness: number[] = [];
let due = performance.now() + WARM_UP_S * 1000;
let began = { at: due, cpu: 0 };

function tick(): void {
  const now = performance.now();
  if (lateness.length === 0) began = { at: now, cpu: cpuMs() };
  lateness.push(now - due);
  if (now - began.at >= seconds * 1000) {
    void end(now);
    return;
  }
  due = now + CLOCK_MS;
  setTimeout(tick, CLOCK_MS);
}

async function end(now: number): Promise<void> {
  const cpuPercent = ((cpuMs() - began.cpu) / (now - began.at)) * 100;
  // Before the first one there was the warm-up.
  const sorted = lateness.slice(1).sort((a, b) => a - b);
  const status = await caller?.call('status', {});
  const figures: SideFigures = {
    cpuPercent,
    latenessP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    latenessMaxMs: sorted.at(-1) ?? 0,
    readings: status?.sources.map(({ source, state, tookMs }) => ({ source, state, tookMs })) ?? [],
  };
  process.send?.(figures, () => process.exit());
}

setTimeout(tick, WARM_UP_S * 1000);
