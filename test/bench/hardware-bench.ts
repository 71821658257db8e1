// `npm run bench -- hardware`: what it costs a CoServer that its hardware is watched. A B A B: the same process without and with the thread.
//
// The process does what a CoServer's main thread does besides: a clock of 10 ms, whose lateness is measured. The thread reads this machine's
// kernel, a BMC of 100 sensors that is faked at the kernel's messages, and four disks by a program that prints what smartctl prints.
import { fork } from 'node:child_process';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { saveReport } from './save-report.ts';

export interface HardwareBenchOptions {
  seconds: number;
  rounds: number;
  out: string;
  say: (text: string) => void;
}

/** What hardware-side.ts tells at its end. */
export interface SideFigures {
  /** Of one core, by the whole process and what it started. */
  cpuPercent: number;
  /** Of the main thread's clock. */
  latenessP99Ms: number;
  latenessMaxMs: number;
  /** Readings that were made, and the longest of each source. */
  readings: { source: string; state: string; tookMs: number }[];
}

interface Sample extends SideFigures {
  round: number;
  watched: boolean;
}

interface Report {
  at: string;
  machine: string;
  options: { seconds: number; rounds: number };
  samples: Sample[];
}

/** In the words: below 1 % and 2 ms. */
const GOAL = { cpuPercent: 1, eventLoopMs: 2 };

export async function benchHardware({ seconds, rounds, out, say }: HardwareBenchOptions): Promise<string[]> {
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), kernel ${release()}, load before the run ${loadavg()[0]?.toFixed(2)}`;
  const report: Report = { at: new Date().toISOString(), machine, options: { seconds, rounds }, samples: [] };
  for (let round = 1; round <= rounds; round++)
    for (const watched of [false, true]) {
      const figures = await side(watched, seconds);
      report.samples.push({ round, watched, ...figures });
      say(
        `round ${round} of ${rounds}, ${watched ? 'watched' : 'not watched'}: ${figures.cpuPercent.toFixed(2)} % of a core, late by ${figures.latenessP99Ms.toFixed(2)} ms (p99), ${figures.latenessMaxMs.toFixed(2)} ms (most)`,
      );
    }
  process.stdout.write(`\n${table(report)}\n\n`);
  return saveReport(out, 'hardware', report, [], page);
}

function side(watched: boolean, seconds: number): Promise<SideFigures> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, 'hardware-side.ts'), [watched ? 'watched' : 'alone', `${seconds}`], {
      execArgv: ['--no-warnings'],
    });
    let figures: SideFigures | null = null;
    child.on('message', (m) => {
      figures = m as SideFigures;
    });
    child.on('error', reject);
    child.on('exit', (code) =>
      figures ? resolve(figures) : reject(new Error(`the measured process ended with code ${code}, without figures`)),
    );
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function table({ samples }: Report): string {
  const of = (watched: boolean, key: 'cpuPercent' | 'latenessP99Ms' | 'latenessMaxMs'): number =>
    median(samples.filter((s) => s.watched === watched).map((s) => s[key]));
  const row = (what: string, key: 'cpuPercent' | 'latenessP99Ms' | 'latenessMaxMs', goal: string): string =>
    `| ${what} | ${of(false, key).toFixed(2)} | ${of(true, key).toFixed(2)} | ${(of(true, key) - of(false, key)).toFixed(2)} | ${goal} |`;
  return [
    '| medians of the rounds | not watched | watched | more | wanted |',
    '| --- | --- | --- | --- | --- |',
    row('processor, % of one core', 'cpuPercent', `< ${GOAL.cpuPercent}`),
    row("lateness of the main thread's clock, p99, ms", 'latenessP99Ms', ''),
    row("lateness of the main thread's clock, most, ms", 'latenessMaxMs', `< ${GOAL.eventLoopMs}`),
  ].join('\n');
}

function page(report: Report, command: string): string {
  const readings = report.samples.findLast((s) => s.watched)?.readings ?? [];
  return [
    '# What it costs to watch the hardware',
    `\`${command}\` on ${report.at.slice(0, 16).replace('T', ' ')} UTC; ${report.machine}.`,
    'The same process without and with its thread that reads the hardware, in turn; 100 sensors and four disks are faked, the rest is this machine.',
    table(report),
    '| source | state | the last reading took, ms |\n| --- | --- | --- |',
    readings.map((r) => `| ${r.source} | ${r.state} | ${r.tookMs.toFixed(1)} |`).join('\n'),
    '',
  ]
    .join('\n\n')
    .replace('| --- | --- | --- |\n\n|', '| --- | --- | --- |\n|');
}
