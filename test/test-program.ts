// A test, or a check, as the plain program that it is: started in a process group of its own, heard, and ended with all that it has left.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

export const ROOT = join(import.meta.dirname, '..');
/** Of what a program says, for the case that it fails: more than anyone reads. */
const LINES_KEPT = 2000;
/** For a test that was told to end, or whose time is over, to take down what it had started. */
const GRACE_MS = 15_000;
/** What `TWINSTEP_SEED` is when nobody gives one. Any number: always the same one, so that a run can be repeated. */
export const SEED = 20_261;

export interface Ended {
  /** null: ended by a signal. */
  code: number | null;
  /** Both outputs, the last LINES_KEPT lines. */
  said: string[];
  seconds: string;
}

const running = new Set<number>();

/** For a runner that was told to end: what runs may still take down what it started. */
export function endRunning(): void {
  for (const group of running) endGroup(group);
}

export function runProgram(program: string, args: string[], options: { timeoutMs?: number; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
  const started = performance.now();
  return new Promise((ended, reject) => {
    // A process group of its own: what a test has started and left is ended with it.
    const child = spawn(program, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...options.env },
    });
    const group = child.pid ?? 0;
    running.add(group);
    const said: string[] = [];
    const keep = (line: string) => {
      said.push(line);
      if (said.length > LINES_KEPT) said.shift();
    };
    const outputs = [child.stdout, child.stderr].map((input) => {
      const lines = createInterface({ input }).on('line', keep);
      return new Promise<void>((closed) => lines.on('close', closed));
    });
    const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => endGroup(group), options.timeoutMs);
    child.on('error', reject);
    // Not 'close': a process that was left behind keeps the pipes open.
    child.on('exit', (code) => {
      clearTimeout(timer);
      signalGroup(group, 'SIGKILL');
      running.delete(group);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      Promise.all(outputs).then(() => ended({ code, said, seconds }));
      // What left the group keeps the pipes open: no reason to wait for ever.
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 2000).unref();
    });
  });
}

/** A test file. One that makes up its cases (fast-check) gets the seed; `casesFile`: see seed.ts. */
export function runTestFile(file: string, options: { timeoutS: number; seed: number; casesFile?: string }): Promise<Ended> {
  const seeded = madeUp(file) ? ['--import', pathToFileURL(join(import.meta.dirname, 'seed.ts')).href] : [];
  return runProgram(process.execPath, ['--no-warnings', '--enable-source-maps', ...seeded, file], {
    timeoutMs: options.timeoutS * 1000 + GRACE_MS,
    env: {
      TAP_TIMEOUT: String(options.timeoutS),
      NODE_OPTIONS: '',
      TWINSTEP_SEED: String(options.seed),
      TWINSTEP_CASES_FILE: options.casesFile ?? '',
    },
  });
}

/** Does this test file make up cases? */
export function madeUp(file: string): boolean {
  return /from 'fast-check'/.test(readFileSync(resolve(ROOT, file), 'utf8'));
}

/** The seed that TWINSTEP_SEED gives. Throws when that is no 32-bit number. */
export function seedGiven(): number | undefined {
  const given = process.env.TWINSTEP_SEED ?? '';
  if (given === '') return undefined;
  const seed = Number(given);
  if (!/^-?\d+$/.test(given) || seed !== (seed | 0)) throw new Error(`TWINSTEP_SEED is ${given}: it must be a whole number of 32 bits`);
  return seed;
}

function endGroup(group: number): void {
  signalGroup(group, 'SIGTERM');
  setTimeout(() => signalGroup(group, 'SIGKILL'), GRACE_MS).unref();
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Nobody is left in it.
  }
}
