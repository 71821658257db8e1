// npm run fuzz: every test file that makes up its cases (fast-check), in turn, again and again, each time with a new seed. A case that
// happens once in a thousand runs is found here, and not by a colleague's npm test, whose seed is always the same.
//
//   npm run fuzz                          each file once
//   npm run fuzz -- --minutes 60          until the time is over; what runs then, ends
//   npm run fuzz -- --only drivers        files whose path holds this
//   npm run fuzz -- --jobs 1              files at a time (2)
//
// A failure is told at once, with file, seed, path and counterexample; the end is a table of cases for each file and each codec.
// Exit code 0: nothing failed.
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type FileTally, failureText, nextFile, tallyTable } from './fuzz-tally.ts';
import type { PropertyRun } from './seed.ts';
import { endRunning, madeUp, ROOT, runTestFile, seedGiven } from './test-program.ts';

/** For one file: as npm test gives it. */
const TIMEOUT_S = 180;

let stopping = false;

/** The test files that make up cases, relative to the root. */
function fuzzedFiles(only: string): string[] {
  return globSync('test/**/*.test.ts', { cwd: ROOT })
    .filter((file) => file.includes(only) && madeUp(file))
    .sort();
}

async function fuzzFile(tally: FileTally, seed: number, folder: string): Promise<void> {
  const casesFile = join(folder, `${tally.file.replaceAll('/', '-')}.${tally.rounds}.jsonl`);
  const ended = await runTestFile(tally.file, { timeoutS: TIMEOUT_S, seed, casesFile });
  const runs = readRuns(casesFile);
  rmSync(casesFile, { force: true });
  // Ended by us: what was tried counts, what it said does not.
  const failed = ended.code !== 0 && !stopping;
  tally.rounds++;
  tally.seconds += Number(ended.seconds);
  tally.cases += runs.reduce((all, run) => all + run.cases, 0);
  tally.properties = Math.max(tally.properties, runs.length);
  if (!failed) return;
  tally.failures++;
  console.log(failureText(tally.file, seed, runs, ended));
}

function readRuns(casesFile: string): PropertyRun[] {
  let text: string;
  try {
    text = readFileSync(casesFile, 'utf8');
  } catch {
    // It fell over before its first property.
    return [];
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as PropertyRun);
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`--${option} ${text}: it must be a number above 0`);
  return value;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { minutes: { type: 'string' }, only: { type: 'string', default: '' }, jobs: { type: 'string', default: '2' } },
  });
  const minutes = values.minutes === undefined ? undefined : positive(values.minutes, 'minutes');
  const jobs = Math.ceil(positive(values.jobs, 'jobs'));
  const files = fuzzedFiles(values.only);
  if (files.length === 0) throw new Error(`no test file that makes up cases has "${values.only}" in its path`);
  const given = seedGiven();
  const tallies = files.map((file): FileTally => ({ file, rounds: 0, properties: 0, cases: 0, failures: 0, seconds: 0, busy: false }));
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-fuzz-'));
  const started = performance.now();
  const over = () => stopping || (minutes !== undefined && performance.now() - started > minutes * 60_000);
  console.log(`# ${files.length} files, ${minutes === undefined ? 'each once' : `for ${minutes} minutes`}, ${jobs} at a time`);

  const lane = async () => {
    for (let tally = nextFile(tallies, minutes !== undefined); tally && !over(); tally = nextFile(tallies, minutes !== undefined)) {
      tally.busy = true;
      // Given: the first round is that one, the next ones go on from it. Else new ones each time.
      const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : (given + tally.rounds) | 0;
      await fuzzFile(tally, seed, folder);
      tally.busy = false;
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, lane));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(tallyTable(tallies, (performance.now() - started) / 60_000));
  process.exitCode = stopping ? 130 : tallies.some((tally) => tally.failures > 0) ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stopping = true;
    endRunning();
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
