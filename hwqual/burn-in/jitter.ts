// How late a heartbeat's clock, and an ordinary event loop, are under all of this load: the smallest heartbeat time-out that this server can keep.
import { floorMs } from '../../appliance/heartbeat/jitter.ts';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import type { JitterFigures } from './jitter-work.ts';
import type { TestResult } from './result.ts';
import { startWork } from './worker.ts';

export const jitter: BurnInTest = { id: 'jitter', title: 'jitter', run };

const LOOP_MS = 10;
/** Fewer say nothing of the worst. */
const TICKS_MIN = 100;

async function run({ options, stop, show }: TestContext): Promise<TestResult> {
  let loopMs = 0;
  let dueMs = performance.now() + LOOP_MS;
  const loop = setInterval(() => {
    const now = performance.now();
    loopMs = Math.max(loopMs, now - dueMs);
    dueMs = now + LOOP_MS;
  }, LOOP_MS);
  try {
    const heard = await startWork<JitterFigures>({
      program: options.program,
      setup: { work: 'jitter', intervalMs: options.heartbeat.intervalMs },
      stop,
      onFigures: (f) => show(`heartbeat at most ${rounded(f.maxMs)} ms late, event loop ${rounded(loopMs)} ms`),
    });
    return judgeJitter(heard, loopMs, options.heartbeat);
  } finally {
    clearInterval(loop);
  }
}

export function judgeJitter(
  f: JitterFigures,
  loopMs: number,
  { intervalMs, timeoutMs }: { intervalMs: number; timeoutMs: number },
): TestResult {
  const smallestTimeoutMs = Math.ceil(floorMs(intervalMs, f.maxMs));
  const figures = {
    realtime: f.realtime,
    ticks: f.ticks,
    heartbeatWorstMs: rounded(f.maxMs, 2),
    heartbeatP50Ms: rounded(f.p50Ms, 2),
    heartbeatP99Ms: rounded(f.p99Ms, 2),
    eventLoopWorstMs: rounded(loopMs, 2),
    intervalMs,
    configuredTimeoutMs: timeoutMs,
    smallestTimeoutMs,
  };
  if (f.ticks < TICKS_MIN)
    return outcome(jitter, 'notTested', `only ${f.ticks} ticks were seen, ${TICKS_MIN} are needed: give it longer`, {
      ...figures,
      smallestTimeoutMs: null,
    });
  const worst = `a heartbeat was at most ${rounded(f.maxMs)} ms late, so its time-out cannot be below ${smallestTimeoutMs} ms`;
  if (timeoutMs < smallestTimeoutMs)
    return outcome(
      jitter,
      'fail',
      `${worst}; heartbeat.timeoutMs is ${timeoutMs}: set it to ${smallestTimeoutMs} at least on both CoServers${f.realtime ? '' : ', or allow real-time priorities'} (a running CoServer never uses less than what it measures itself)`,
      figures,
    );
  return outcome(jitter, 'pass', `${worst}; heartbeat.timeoutMs is ${timeoutMs}`, figures);
}
