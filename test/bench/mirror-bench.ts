// `npm run bench -- mirror`: our mirror beside a raw file, qemu-nbd, nbdkit and QEMU's own way to mirror (quorum and NBD), one after the
// other and round after round; then stalls, repair and what the durable records cost. See README.md, "The mirror".
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { describeMachine } from './machine.ts';
import { LOADS, type Load, measureLoad } from './mirror/loads.ts';
import { BenchNetwork } from './mirror/network.ts';
import { mirrorPlots } from './mirror/plots.ts';
import { measureRepair } from './mirror/repair.ts';
import { type Links, type MirrorReport, markdown, terminalText } from './mirror/report.ts';
import type { Place } from './mirror/servers.ts';
import { measureStall } from './mirror/stalls.ts';
import { MIRRORED, type MirrorVariant, startVariant } from './mirror/variants.ts';
import { isBusy } from './report.ts';
import { saveReport } from './save-report.ts';

const DISK_BYTES = 256 * 1024 * 1024;
const BLOCK_BYTES = 4096;
const SHAPED_MBIT_PER_S = 1000;
/** Shaped, only what crosses the links is of interest. */
const SHAPED_LOADS: readonly Load[] = ['4k-qd1', '4k-qd32', '128k-write'];
const ACKNOWLEDGEMENT_TIMEOUT_MS = 500;
const STALL_ROUNDS = 3;
/** As long as V8 still compiles, its threads take the cores from whoever is measured: of all loads these two have the most to do. */
const WARM_UP: readonly { load: Load; seconds: number }[] = [
  { load: '4k-qd32', seconds: 2 },
  { load: '4k-qd1', seconds: 3 },
];
const COMMANDED_BYTES_PER_S = 80_000_000;

export interface MirrorBenchOptions {
  seconds: number;
  rounds: number;
  variants: MirrorVariant[];
  /** Loads, then 'stalls' and 'repair'. */
  measures: MirrorMeasure[];
  /** On the disk that is measured. */
  folder: string;
  out: string;
  signal: AbortSignal;
  say: (line: string) => void;
}

export const MIRROR_MEASURES = [...LOADS, 'stalls', 'repair'] as const;
export type MirrorMeasure = (typeof MIRROR_MEASURES)[number];

/** Measures, prints tables, writes them with their circumstances. Answers the files. */
export async function benchMirror(options: MirrorBenchOptions): Promise<string[]> {
  const { say, signal } = options;
  const folder = options.folder;
  mkdirSync(folder, { recursive: true });
  const state = mkdtempSync(join(folder, 'mirror-bench-'));
  const network = new BenchNetwork(`tb${process.pid}`);
  const engineRoot = engineRootPath();
  const place: Place = { network, folder: state, engineRoot };
  const startedMs = Date.now();
  const report: MirrorReport = {
    at: new Date(startedMs).toISOString(),
    complete: false,
    durationS: 0,
    seconds: options.seconds,
    rounds: options.rounds,
    acknowledgementTimeoutMs: ACKNOWLEDGEMENT_TIMEOUT_MS,
    variants: options.variants,
    loads: LOADS.filter((load) => options.measures.includes(load)),
    machine: await describeMachine(engineRoot, 'tcg'),
    samples: [],
    stalls: [],
    repairs: [],
    costs: null,
    problems: [],
  };
  if (isBusy(report.machine)) say(`others are at work on this machine (load ${report.machine.loadAtStart}): the figures will be noise`);
  try {
    await network.up();
    const content = randomBytes(DISK_BYTES);
    for (const side of ['A', 'B']) writeInBlocks(join(state, `disk-${side}`), content);
    await rounds(report, place, options);
    if (options.measures.includes('stalls'))
      for (let i = 0; i < STALL_ROUNDS && !signal.aborted; i++)
        for (const what of ['frozen', 'killed'] as const) {
          const stall = await measureStall(what, place, DISK_BYTES, ACKNOWLEDGEMENT_TIMEOUT_MS);
          say(`partner ${what}: the guest's longest write took ${stall.stallMs.toFixed(0)} ms`);
          report.stalls.push(stall);
        }
    if (options.measures.includes('repair') && !signal.aborted)
      Object.assign(report, await measureRepair(place, COMMANDED_BYTES_PER_S, (mbitPerS) => network.shape(mbitPerS), say));
    report.complete = !signal.aborted;
  } catch (error) {
    report.problems.push((error as Error).message);
    say((error as Error).message);
  } finally {
    await network.down();
    rmSync(state, { recursive: true, force: true });
  }
  report.durationS = (Date.now() - startedMs) / 1000;
  process.stdout.write(`\n${terminalText(report)}\n\n`);
  return saveReport(options.out, 'mirror', report, mirrorPlots(report), markdown);
}

/**
 * As a guest writes it: of a file that was written in large pieces the page cache has large pieces too (ext4 since Linux 6.16), and each small
 * write to one of those takes the kernel some 60 us instead of 5, whoever asks. Then that would be measured, in some runs and not in others.
 */
function writeInBlocks(path: string, content: Uint8Array): void {
  const fd = openSync(path, 'w');
  for (let at = 0; at < content.length; at += BLOCK_BYTES) writeSync(fd, content, at, BLOCK_BYTES, at);
  closeSync(fd);
}

async function rounds(report: MirrorReport, place: Place, options: MirrorBenchOptions): Promise<void> {
  const visits = (['free', '1 Gbit/s'] as const).flatMap((links) =>
    report.variants
      .filter((variant) => links === 'free' || MIRRORED.includes(variant))
      .map((variant) => ({ links, variant, loads: report.loads.filter((l) => links === 'free' || SHAPED_LOADS.includes(l)) })),
  );
  const all = options.rounds * visits.length;
  let done = 0;
  const startedMs = performance.now();
  for (let round = 1; round <= options.rounds && report.loads.length > 0; round++) {
    let shapedAs: Links | undefined;
    for (const { links, variant, loads } of visits) {
      if (options.signal.aborted) return;
      if (links !== shapedAs) await place.network.shape(links === 'free' ? null : SHAPED_MBIT_PER_S);
      shapedAs = links;
      try {
        await visit(report, place, options, { links, variant, loads, round });
      } catch (error) {
        const problem = `round ${round}, links ${links}, ${variant}: ${(error as Error).message}`;
        report.problems.push(problem);
        options.say(problem);
      }
      done++;
      const leftMin = (((performance.now() - startedMs) / done) * (all - done)) / 60_000;
      options.say(`${done} of ${all} visits, about ${leftMin.toFixed(1)} minutes left of them`);
    }
  }
  await place.network.shape(null);
}

async function visit(
  report: MirrorReport,
  place: Place,
  options: MirrorBenchOptions,
  { links, variant, loads, round }: { links: Links; variant: MirrorVariant; loads: readonly Load[]; round: number },
): Promise<void> {
  const running = await startVariant(variant, place, DISK_BYTES);
  try {
    // Servers run for months: what a start costs is not measured.
    for (const { load, seconds } of WARM_UP) await measureLoad(running, load, seconds, DISK_BYTES);
    for (const load of loads) {
      if (options.signal.aborted) return;
      // What the load before left in the page cache is not this one's.
      execFileSync('sync', ['-f', place.folder]);
      const figures = await measureLoad(running, load, options.seconds, DISK_BYTES);
      report.samples.push({ variant, links, load, round, ...figures });
      const shown = `${figures.iops.toFixed(0)}/s, ${figures.megabytesPerS.toFixed(0)} MB/s, p50 ${figures.p50Us.toFixed(0)} us, p99 ${figures.p99Us.toFixed(0)} us`;
      options.say(`round ${round}, links ${links}, ${variant}, ${load}: ${shown}`);
    }
  } finally {
    await running.stop();
  }
}
