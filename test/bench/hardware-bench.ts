// `npm run bench -- hardware`: what it costs a CoServer that its hardware is watched, measured without and with it in turn, in one process.
//
// The process does what a CoServer's main thread does besides: a clock, whose lateness is measured, and the questions to the thread that reads. That
// thread reads this machine's kernel, a BMC of 100 sensors that is faked at the kernel's messages, and four disks by a program that prints
// what smartctl prints.
import { fork } from 'node:child_process';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { hardwareTable, quantile, type Slice } from './hardware-figures.ts';
import { saveReport } from './save-report.ts';

export interface HardwareBenchOptions {
  /** Of a slice; a round has four. */
  seconds: number;
  rounds: number;
  out: string;
  say: (text: string) => void;
}

interface Report {
  at: string;
  machine: string;
  options: { seconds: number; rounds: number };
  table: string;
  /** Without the single turns: thousands for each slice. */
  slices: (Omit<Slice, 'latenessMs' | 'turnCpuMs'> & { turns: number; latenessP999Ms: number; latenessMaxMs: number })[];
}

export async function benchHardware({ seconds, rounds, out, say }: HardwareBenchOptions): Promise<string[]> {
  const load = loadavg()[0]?.toFixed(2);
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), kernel ${release()}, load before the run ${load}`;
  const at = new Date().toISOString();
  const slices = await slicesOf(seconds, rounds, (s, n) =>
    say(
      `slice ${n} of ${rounds * 4}, ${s.watched ? 'watched' : 'not watched'}: ${s.cpuPercent.toFixed(2)} % of a core, late by ${quantile(s.latenessMs, 0.999).toFixed(2)} ms (p99.9), ${quantile(s.latenessMs, 1).toFixed(2)} ms (most)`,
    ),
  );
  const table = hardwareTable(slices);
  process.stdout.write(`\n${table}\n\n`);
  const short = slices.map(({ latenessMs, turnCpuMs: _, ...slice }) => ({
    ...slice,
    turns: latenessMs.length,
    latenessP999Ms: quantile(latenessMs, 0.999),
    latenessMaxMs: quantile(latenessMs, 1),
  }));
  return saveReport(out, 'hardware', { at, machine, options: { seconds, rounds }, table, slices: short }, [], page);
}

function slicesOf(seconds: number, rounds: number, told: (slice: Slice, number: number) => void): Promise<Slice[]> {
  return new Promise((resolve, reject) => {
    const script = join(import.meta.dirname, 'hardware-side.ts');
    const child = fork(script, [`${seconds}`, `${rounds}`], { execArgv: ['--no-warnings'] });
    const slices: Slice[] = [];
    child.on('message', (m) => {
      slices.push(m as Slice);
      told(m as Slice, slices.length);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (slices.length === rounds * 4) resolve(slices);
      else reject(new Error(`the measured process ended with ${signal ?? `code ${code}`} after ${slices.length} slices of ${rounds * 4}`));
    });
  });
}

function page(report: Report, command: string): string {
  const readings = report.slices.findLast((s) => s.watched)?.readings ?? [];
  const rows = readings.map((r) => `| ${r.source} | ${r.state} | ${r.tookMs.toFixed(1)} |`);
  return [
    '# What it costs to watch the hardware',
    `\`${command}\` on ${report.at.slice(0, 16).replace('T', ' ')} UTC; ${report.machine}.`,
    `One process, slices of ${report.options.seconds} s in the order without, with, with, without; 100 sensors and four disks are faked, the rest is this machine. *Caused* is the difference; *noise* is the same difference between the two halves of the slices without watching. Where the noise is larger than what is wanted, this machine cannot tell.`,
    report.table,
    ['| source | state | the last reading took, ms |', '| --- | --- | --- |', ...rows].join('\n'),
    '',
  ].join('\n\n');
}
