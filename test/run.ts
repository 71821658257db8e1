// npm test: types, lint and formatting, then every test, then one line alone: "N passed, N failed". Exit code 0 only if none failed.
//
//   npm test                          everything
//   npm test -- FILE...               only these test files (no types, no lint)
//   npm test -- --jobs=1              test files one at a time, should a slow machine need it
//   npm test -- --quick               without test/integration and test/e2e
//
// The files are tap tests, each started as the plain program that it is. tap's own runner would leave its hooks in NODE_OPTIONS, where the
// servers that the tests start in other root file systems find them, cannot load them, and die.
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = join(import.meta.dirname, '..');
const BIN = join(ROOT, 'node_modules/.bin');
/** Of what a program says, for the case that it fails: more than anyone reads. */
const LINES_KEPT = 2000;
/** For a test that was told to end, or whose time is over, to take down what it had started. */
const GRACE_MS = 15_000;

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface Ended {
  /** null: ended by a signal. */
  code: number | null;
  /** Both outputs, the last LINES_KEPT lines. */
  said: string[];
  seconds: string;
}

interface Group {
  title: string;
  files: string[];
  /** Files at a time. */
  jobs: number;
  /** For one file, in seconds; several times what a busy machine needed. tap ends its tests then and says which one it was. */
  timeoutS: number;
}

const running = new Set<number>();
/** Somebody ended us: nothing new is started. */
let stopping = false;

function run(program: string, args: string[], options: { timeoutMs?: number; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
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
      Promise.all(outputs).then(() => resolve({ code, said, seconds }));
      // What left the group keeps the pipes open: no reason to wait for ever.
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 2000).unref();
    });
  });
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

/** What a check prints is shown only if it fails. */
async function check(title: string, program: string, args: string[]): Promise<Totals> {
  const { code, said, seconds } = await run(program, args);
  console.log(`${code === 0 ? 'ok' : 'not ok'} - ${title} (${seconds} s)`);
  if (code !== 0) for (const line of said) console.log(`    ${line}`);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

async function testFile(file: string, timeoutS: number): Promise<Totals> {
  const { code, said, seconds } = await run(process.execPath, ['--no-warnings', '--enable-source-maps', file], {
    timeoutMs: timeoutS * 1000 + GRACE_MS,
    env: { TAP_TIMEOUT: String(timeoutS), NODE_OPTIONS: '' },
  });
  const sum = said.findLast((line) => /^# \{ total: \d+.*\}$/.test(line)) ?? '';
  const totals = { passed: figure(sum, 'pass'), failed: figure(sum, 'fail'), skipped: figure(sum, 'skip') + figure(sum, 'todo') };
  // A file that fell over, ran out of time or checked nothing: never silently green.
  if (code !== 0 && totals.failed === 0) totals.failed = 1;
  if (totals.passed + totals.failed + totals.skipped === 0) totals.failed = 1;
  console.log(`${totals.failed === 0 ? 'ok' : 'not ok'} - ${file} (${totals.passed} in ${seconds} s)`);
  const shown = totals.failed > 0 ? said : said.filter((line) => /# skip\b/i.test(line));
  for (const line of shown) console.log(`    ${line.trimEnd()}`);
  if (code === null) console.log('    ended by a signal: out of time, or somebody else ended it');
  return totals;
}

function figure(sum: string, name: string): number {
  return Number(new RegExp(`\\b${name}: (\\d+)`).exec(sum)?.[1] ?? 0);
}

async function testGroup(group: Group): Promise<Totals> {
  if (group.files.length > 0) console.log(`# ${group.title}: ${group.files.length} files`);
  const waiting = [...group.files];
  const totals: Totals[] = [];
  const lane = async () => {
    for (let file = waiting.shift(); file !== undefined && !stopping; file = waiting.shift())
      totals.push(await testFile(file, group.timeoutS));
  };
  await Promise.all(Array.from({ length: group.jobs }, lane));
  return add(totals);
}

function add(totals: readonly Totals[]): Totals {
  const sum = (key: keyof Totals) => totals.reduce((all, one) => all + one[key], 0);
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

function find(pattern: string): string[] {
  return globSync(pattern, { cwd: ROOT }).sort();
}

async function main(): Promise<void> {
  const started = performance.now();
  const options = process.argv.slice(2).filter((arg) => arg.startsWith('-'));
  const files = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
  const unknown = options.find((option) => option !== '--quick' && !/^--jobs=[1-9]\d*$/.test(option));
  if (unknown) throw new Error(`unknown option ${unknown}; there are --quick and --jobs=N`);
  const missing = files.filter((file) => find(file).length === 0);
  if (missing.length > 0) throw new Error(`no such test file: ${missing.join(', ')}`);
  const jobs = options.find((option) => option.startsWith('--jobs='))?.slice('--jobs='.length);

  const totals: Totals[] = [];
  const slow = [...find('test/integration/**/*.test.ts'), ...find('test/e2e/**/*.test.ts')];
  const fast = find('test/**/*.test.ts').filter((file) => !slow.includes(file));
  if (files.length > 0) {
    totals.push(await testGroup({ title: 'chosen', files, jobs: Number(jobs ?? 1), timeoutS: 900 }));
  } else {
    totals.push(await check('types', join(BIN, 'tsc'), ['--noEmit', '-p', 'tsconfig.json']));
    totals.push(await check('types of the pure core', join(BIN, 'tsc'), ['--noEmit', '-p', 'appliance/core/tsconfig.json']));
    totals.push(await check('lint and formatting', join(BIN, 'biome'), ['check', '--diagnostic-level=warn', '.']));
    totals.push(await testGroup({ title: 'unit', files: fast, jobs: Number(jobs ?? 2), timeoutS: 180 }));
    // These start engines and namespaces and measure times: one at a time.
    if (!options.includes('--quick'))
      totals.push(await testGroup({ title: 'integration and end to end', files: slow, jobs: 1, timeoutS: 900 }));
  }
  const { passed, failed, skipped } = add(totals);
  console.log(
    `\n${skipped > 0 ? `${skipped} skipped: each says why above; ` : ''}${((performance.now() - started) / 60_000).toFixed(1)} minutes`,
  );
  console.log(`${passed} passed, ${stopping ? Math.max(failed, 1) : failed} failed`);
  process.exitCode = stopping ? 130 : failed === 0 && passed > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    console.log(`\n${signal}: what runs may still take down what it started`);
    stopping = true;
    for (const group of running) endGroup(group);
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
});
