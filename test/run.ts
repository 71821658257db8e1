// npm test: types, lint and formatting, then every test, then one line alone: "N passed, N failed". Exit code 0 only if none failed.
//
//   npm test                          everything
//   npm test -- FILE...               only these test files (no types, no lint)
//   npm test -- --jobs=1              test files one at a time, should a slow machine need it
//   npm test -- --quick               without test/integration and test/e2e
//
// The files are tap tests, each started as the plain program that it is. tap's own runner would leave its hooks in NODE_OPTIONS, where the
// servers that the tests start in other root file systems find them, cannot load them, and die.
//
// Cases that fast-check makes up are the same in every run: their seed is a constant, or TWINSTEP_SEED. New ones are looked for by
// npm run fuzz.
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { endRunning, madeUp, ROOT, runProgram, runTestFile, SEED, seedGiven } from './test-program.ts';

const BIN = join(ROOT, 'node_modules/.bin');

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface Group {
  title: string;
  files: string[];
  /** Files at a time. */
  jobs: number;
  /** For one file, in seconds; several times what a busy machine needed. tap ends its tests then and says which one it was. */
  timeoutS: number;
}

/** Of the cases that are made up. */
let seed = SEED;
/** Somebody ended us: nothing new is started. */
let stopping = false;

/** What a check prints is shown only if it fails. */
async function check(title: string, program: string, args: string[]): Promise<Totals> {
  const { code, said, seconds } = await runProgram(program, args);
  console.log(`${code === 0 ? 'ok' : 'not ok'} - ${title} (${seconds} s)`);
  if (code !== 0) for (const line of said) console.log(`    ${line}`);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

async function testFile(file: string, timeoutS: number): Promise<Totals> {
  const { code, said, seconds } = await runTestFile(file, { timeoutS, seed });
  const sum = said.findLast((line) => /^# \{ total: \d+.*\}$/.test(line)) ?? '';
  const totals = { passed: figure(sum, 'pass'), failed: figure(sum, 'fail'), skipped: figure(sum, 'skip') + figure(sum, 'todo') };
  // A file that fell over, ran out of time or checked nothing: never silently green.
  if (code !== 0 && totals.failed === 0) totals.failed = 1;
  if (totals.passed + totals.failed + totals.skipped === 0) totals.failed = 1;
  console.log(`${totals.failed === 0 ? 'ok' : 'not ok'} - ${file} (${totals.passed} in ${seconds} s)`);
  const shown = totals.failed > 0 ? said : said.filter((line) => /# skip\b/i.test(line));
  for (const line of shown) console.log(`    ${line.trimEnd()}`);
  if (totals.failed > 0 && madeUp(file)) console.log(`    with TWINSTEP_SEED=${seed}`);
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

/** They wait for leases, for a minute of calm, for a code to be compared: beside the others they cost next to nothing. Namespaces and ports of their own. */
const PATIENT = ['dhcp', 'pairing', 'real-campaign'].map((name) => `test/integration/${name}.test.ts`);

/** These start engines and namespaces and measure times: one at a time. */
async function slowGroups(files: readonly string[]): Promise<Totals[]> {
  const group = (title: string, isIn: (file: string) => boolean) => testGroup({ title, files: files.filter(isIn), jobs: 1, timeoutS: 900 });
  return await Promise.all([
    group('integration and end to end', (file) => !PATIENT.includes(file)),
    group('beside them', (file) => PATIENT.includes(file)),
  ]);
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

  seed = seedGiven() ?? SEED;
  console.log(`# seed of the cases that are made up: ${seed}`);
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
    if (!options.includes('--quick')) totals.push(...(await slowGroups(slow)));
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
    endRunning();
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
});
