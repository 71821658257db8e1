// Does the watchdog really reset this machine? Only the reset itself tells, and it is made only when asked for.
//
//   --reset-by-watchdog: a marker in stateDir -> armed, never renewed -> the machine is gone
//   the next burn-in:    reads the marker: another boot, a pass with the seconds that it took; the same boot, a fail
//
// While the machine waits for its end it writes down how long it still lives: the last entry is what the watchdog took.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ioctl } from '../../drivers/ethernet/index.ts';
import { openWatchdog, type Watchdog } from '../../drivers/watchdog/index.ts';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import type { TestResult } from './result.ts';

export const watchdog: BurnInTest = { id: 'watchdog', title: 'watchdog', run };

const MARKER_NAME = 'burn-in-watchdog.json';
const ALIVE_MS = 200;
/** Boards round up, and some give a second time-out to a warning. */
const GRACE_MS = 30_000;
/** The seconds of a reset that came much too early are not the watchdog's. */
const EARLY_SHARE = 0.5;

export interface WatchdogMarker {
  schema: 1;
  device: string;
  timeoutMs: number;
  /** Of the machine that armed it. */
  boot: string;
  /** How long it lived on after that. */
  aliveMs: number;
  /** It was still there after the time-out and a grace. */
  survived: boolean;
}

/** What is another one after each start: the kernel's number, and when process 1 began (a container's is not the machine's). */
export function bootIdentity(proc = '/proc'): string {
  const id = readFileSync(join(proc, 'sys/kernel/random/boot_id'), 'latin1').trim();
  const stat = readFileSync(join(proc, '1/stat'), 'latin1');
  return `${id}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''}`;
}

async function run({ options, show }: TestContext): Promise<TestResult> {
  const marker = readMarker(options.stateDir);
  const result = judgeMarker(marker, options.watchdog.device, bootIdentity);
  show(result.reason);
  // Told once: what is in a report is true of the machine as it was then.
  if (marker !== null) rmSync(join(options.stateDir, MARKER_NAME), { force: true });
  return result;
}

export function judgeMarker(marker: WatchdogMarker | null, device: string, boot: () => string): TestResult {
  if (marker === null)
    return outcome(
      watchdog,
      'notTested',
      device === ''
        ? 'none is configured (watchdog.device)'
        : `${device} resets the machine only when asked to: twinstep burn-in --reset-by-watchdog, and a burn-in after it`,
      { device: device === '' ? null : device },
    );
  const seconds = rounded(marker.aliveMs / 1000);
  const figures = { device: marker.device, timeoutS: marker.timeoutMs / 1000, tookS: seconds };
  if (marker.survived || marker.boot === boot())
    return outcome(
      watchdog,
      'fail',
      `${marker.device} did not reset this machine within ${seconds} s, its time-out is ${figures.timeoutS} s: switch it on in the BIOS, or use another one`,
      figures,
    );
  if (marker.aliveMs < marker.timeoutMs * EARLY_SHARE)
    return outcome(
      watchdog,
      'fail',
      `the machine went off ${seconds} s after ${marker.device} was armed, long before its ${figures.timeoutS} s: something else did that, do it again`,
      figures,
    );
  return outcome(watchdog, 'pass', `${marker.device} reset this machine ${seconds} s after its last renewal`, figures);
}

/** Null: there is none. One that was cut short is what a reset leaves behind of a file system: it says so by being unreadable. */
export function readMarker(stateDir: string): WatchdogMarker | null {
  const path = join(stateDir, MARKER_NAME);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const found = JSON.parse(text) as WatchdogMarker;
    if (found.schema === 1 && typeof found.boot === 'string' && Number.isFinite(found.aliveMs) && Number.isFinite(found.timeoutMs))
      return found;
  } catch {
    // as below
  }
  throw new Error(`${path} is no marker of a watchdog test: remove it, and do the test again`);
}

function writeMarker(stateDir: string, marker: WatchdogMarker): void {
  const path = join(stateDir, MARKER_NAME);
  const file = openSync(`${path}.new`, 'w', 0o600);
  writeSync(file, `${JSON.stringify(marker)}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

export interface ResetOptions {
  device: string;
  timeoutS: number;
  stateDir: string;
  say: (line: string) => void;
  /** Default: the real one. */
  open?: (device: string, timeoutMs: number) => Promise<Watchdog>;
  graceMs?: number;
  boot?: () => string;
}

/**
 * The machine is gone when it works: then this never resolves. Resolves when it does not, with the watchdog stopped again. Rejects when the
 * watchdog cannot be opened.
 */
export async function resetByWatchdog(options: ResetOptions): Promise<void> {
  const { device, stateDir, say, graceMs = GRACE_MS, boot = bootIdentity } = options;
  if (device === '') throw new Error('there is no watchdog to be reset by: set watchdog.device');
  const open =
    options.open ?? ((d: string, timeoutMs: number) => openWatchdog({ device: d, timeoutMs, ioctl, onLost: (e) => say(e.message) }));
  const marker: WatchdogMarker = { schema: 1, device, timeoutMs: options.timeoutS * 1000, boot: boot(), aliveMs: 0, survived: false };
  const armed = await open(device, marker.timeoutMs);
  const armedMs = performance.now();
  marker.timeoutMs = armed.timeoutMs;
  say(
    `${device} is armed and not renewed any more: this machine resets within ${armed.timeoutMs / 1000} s. Run a burn-in when it is back.`,
  );
  for (;;) {
    marker.aliveMs = Math.round(performance.now() - armedMs);
    marker.survived = marker.aliveMs > armed.timeoutMs + graceMs;
    writeMarker(stateDir, marker);
    if (marker.survived) break;
    await new Promise((resolve) => setTimeout(resolve, ALIVE_MS));
  }
  say(`${device} did not reset this machine within ${Math.round(marker.aliveMs / 1000)} s`);
  if (armed.canStop) await armed.disarm();
  else armed.close();
}
