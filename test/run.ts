// npm test: types, lint and formatting, then every test, then one line alone: "N passed, N failed". Exit code 0 only if none failed.
//
//   npm test                          everything
//   npm test -- FILE...               only these test files (no types, no lint)
//   npm test -- --jobs=1              test files one at a time, should a slow machine need it
//   npm test -- --quick               without test/integration and test/e2e
import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = join(import.meta.dirname, '..');
const BIN = join(ROOT, 'node_modules/.bin');

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface Group {
  title: string;
  files: string[];
  jobs: number;
  /** For one file, in seconds: after that it is ended and counts as failed. Several times what a busy machine needed. */
  timeoutS: number;
}

/** Of what a test file says, for the case that it fails: more than anyone reads. */
const LINES_KEPT = 2000;

/** What a check prints is shown only if it fails. */
async function check(title: string, program: string, args: string[]): Promise<Totals> {
  const started = performance.now();
  const lines: string[] = [];
  const code = await runLines(program, args, (line) => lines.push(line));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${code === 0 ? 'ok' : 'not ok'} - ${title} (${seconds} s)`);
  if (code !== 0) for (const line of lines) console.log(`    ${line}`);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** Runs test files under tap. One line per file; the whole of what a failed file said. */
async function runGroup(group: Group): Promise<Totals> {
  if (group.files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  console.log(`# ${group.title}: ${group.files.length} files`);
  const args = [
    'run',
    '--disable-coverage',
    '--allow-empty-coverage',
    '--reporter=tap',
    `--jobs=${group.jobs}`,
    `--timeout=${group.timeoutS}`,
  ];
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  let counted = false;
  let body: string[] = [];
  let diagnostic = false;
  const code = await runLines(join(BIN, 'tap'), [...args, ...group.files], (line) => {
    const sum = /^# \{ total: \d+.*\}$/.test(line);
    if (sum) {
      counted = true;
      totals.passed += figure(line, 'pass');
      totals.failed += figure(line, 'fail');
      totals.skipped += figure(line, 'skip') + figure(line, 'todo');
    } else if (/^ok \d/.test(line)) {
      for (const skipped of body.filter((inner) => /# SKIP/i.test(inner))) console.log(skipped);
      console.log(line.replace(/^ok \d+/, 'ok'));
      body = [];
      diagnostic = false;
    } else if (/^not ok \d/.test(line)) {
      for (const inner of body) console.log(inner);
      console.log(line.replace(/^not ok \d+/, 'not ok'));
      body = [];
      diagnostic = true;
    } else if (/^# Subtest:/.test(line)) {
      diagnostic = false;
    } else if (diagnostic) {
      console.log(line);
    } else if (line !== '') {
      // Standard error too: with two files at a time it may stand under its neighbour.
      body.push(line);
      if (body.length > LINES_KEPT) body.shift();
    }
  });
  // tap that fell over, or a file that failed without a failed assertion: never silently green.
  if (!counted || (code !== 0 && totals.failed === 0)) totals.failed += 1;
  return totals;
}

/**
 * tap is released with a plugin for TypeScript that TypeScript 7 breaks; .taprc leaves it out, and tap then compiles itself without it. It
 * would do so in the middle of its first run, which fails: so it is done before. Seconds, once per installation.
 */
async function buildRunner(): Promise<void> {
  const built = join(ROOT, 'node_modules/@tapjs/test/test-built/dist/esm/index.js');
  if (!readFileSync(built, 'utf8').includes('@tapjs/typescript')) return;
  const said: string[] = [];
  const code = await runLines(join(BIN, 'tap'), ['build'], (line) => said.push(line));
  if (code !== 0) throw new Error(`tap cannot build itself without its TypeScript plugin:\n${said.join('\n')}`);
}

function figure(line: string, name: string): number {
  return Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0);
}

function runLines(program: string, args: string[], onLine: (line: string) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    const out = createInterface({ input: child.stdout }).on('line', onLine);
    createInterface({ input: child.stderr }).on('line', onLine);
    child.on('error', reject);
    // Standard output may still hold lines when the process has ended.
    const closed = new Promise<void>((done) => out.on('close', done));
    child.on('close', (code) => closed.then(() => resolve(code ?? 1)));
  });
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

  await buildRunner();
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const add = (more: Totals) => {
    totals.passed += more.passed;
    totals.failed += more.failed;
    totals.skipped += more.skipped;
  };
  const slow = [...find('test/integration/**/*.test.ts'), ...find('test/e2e/**/*.test.ts')];
  const fast = find('test/**/*.test.ts').filter((file) => !slow.includes(file));
  if (files.length > 0) {
    add(await runGroup({ title: 'chosen', files, jobs: Number(jobs ?? 1), timeoutS: 600 }));
  } else {
    add(await check('types', join(BIN, 'tsc'), ['--noEmit', '-p', 'tsconfig.json']));
    add(await check('types of the pure core', join(BIN, 'tsc'), ['--noEmit', '-p', 'appliance/core/tsconfig.json']));
    add(await check('lint and formatting', join(BIN, 'biome'), ['check', '.']));
    add(await runGroup({ title: 'unit', files: fast, jobs: Number(jobs ?? 2), timeoutS: 180 }));
    // These start engines and namespaces and measure times: one at a time.
    if (!options.includes('--quick')) add(await runGroup({ title: 'integration and end to end', files: slow, jobs: 1, timeoutS: 600 }));
  }
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  if (totals.skipped > 0) console.log(`\n${totals.skipped} skipped: each says why above`);
  console.log(`\n${minutes} minutes`);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
});
