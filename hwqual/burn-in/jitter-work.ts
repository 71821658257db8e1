// A heartbeat's clock under load: the same priority and interval as the appliance's, and how late it is.
import { setPriority } from 'node:os';
import { JitterMeter } from '../../appliance/heartbeat/jitter.ts';
import { setThreadRealtime } from '../../drivers/ethernet/index.ts';

export interface JitterSetup {
  intervalMs: number;
}

export interface JitterFigures {
  realtime: boolean;
  ticks: number;
  /** Over all of the time. */
  maxMs: number;
  /** Of the last one to two minutes. */
  p50Ms: number;
  p99Ms: number;
}

/** As the appliance's heartbeat. */
const REALTIME_PRIORITY = 10;
const TELL_MS = 500;

export async function jitterWork(
  { intervalMs }: JitterSetup,
  stop: AbortSignal,
  tell: (figures: JitterFigures) => void,
): Promise<JitterFigures> {
  let realtime = true;
  try {
    setThreadRealtime(REALTIME_PRIORITY);
  } catch {
    realtime = false;
    try {
      setPriority(-20); // on Linux the calling thread's only
    } catch {
      // The lateness tells.
    }
  }
  const meter = new JitterMeter(performance.now());
  let [ticks, maxMs] = [0, 0];
  const read = (): JitterFigures => {
    const { p50Ms, p99Ms } = meter.read();
    return { realtime, ticks, maxMs, p50Ms, p99Ms };
  };
  let toldMs = performance.now();
  while (!stop.aborted) {
    const dueMs = performance.now() + intervalMs;
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
    const now = performance.now();
    meter.add(now, now - dueMs);
    maxMs = Math.max(maxMs, now - dueMs);
    ticks++;
    if (now - toldMs < TELL_MS) continue;
    toldMs = now;
    tell(read());
  }
  return read();
}
