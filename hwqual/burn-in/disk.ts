// The disk is written, flushed and read; and what its flushes are worth. Two results of one run.
import { dirname } from 'node:path';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import { diskKind } from './disk-kind.ts';
import type { DiskFigures } from './disk-work.ts';
import { type DiskKind, judgeFlush } from './flush-honesty.ts';
import type { TestResult } from './result.ts';
import { startWork } from './worker.ts';

const DISK = { id: 'disk', title: 'disk' } as const;
const FLUSH = { id: 'flush', title: 'flush honesty' } as const;
/** Of one context: the flushes are measured by the run of the disk. */
const runs = new WeakMap<TestContext, Promise<DiskFigures>>();

export const disk: BurnInTest = { ...DISK, run: async (context) => judgeDisk(await figuresOf(context)) };

export const flush: BurnInTest = {
  ...FLUSH,
  run: async (context) => {
    const { area, guestDisk } = context.options.scratch;
    return judgeFlushes(await figuresOf(context), await diskKind(area?.path ?? dirname(guestDisk)));
  },
};

function figuresOf(context: TestContext): Promise<DiskFigures> {
  const running = runs.get(context);
  if (running) return running;
  const { options, stop, show } = context;
  const run = startWork<DiskFigures>({
    program: options.program,
    setup: { work: 'disk', scratch: options.scratch },
    stop,
    onFigures: (f) =>
      show(
        `${f.writtenMiB} MiB written (${rate(f.writtenMiB, f.writeMs)} MiB/s), ${f.readMiB} read, worst ${Math.round(Math.max(f.worstWriteMs, f.worstReadMs))} ms, ${f.wrongPieces} wrong`,
      ),
  });
  runs.set(context, run);
  return run;
}

export function judgeDisk(f: DiskFigures): TestResult {
  if (f.refused !== null) return outcome(DISK, 'notTested', f.refused);
  const figures = {
    where: f.where,
    sizeMiB: f.sizeMiB,
    rounds: f.rounds,
    writtenMiB: f.writtenMiB,
    readMiB: f.readMiB,
    writeMiBPerS: rate(f.writtenMiB, f.writeMs),
    readMiBPerS: rate(f.readMiB, f.readMs),
    worstWriteMs: rounded(f.worstWriteMs),
    worstReadMs: rounded(f.worstReadMs),
    wrongPieces: f.wrongPieces,
  };
  if (f.failed !== null) return outcome(DISK, 'fail', `${f.failed}: replace the disk`, figures);
  if (f.example !== null)
    return outcome(DISK, 'fail', `${f.wrongPieces} pieces of 4 KiB read wrong, the first ${f.example}: replace the disk`, figures);
  if (f.readMiB === 0) return outcome(DISK, 'notTested', 'there was no time to read anything again: give it longer', figures);
  return outcome(DISK, 'pass', `${f.writtenMiB} MiB written to ${f.where} and read again, each byte right`, figures);
}

export function judgeFlushes(f: DiskFigures, kind: DiskKind): TestResult {
  if (f.refused !== null) return outcome(FLUSH, 'notTested', f.refused);
  const { honesty, reason, samples, writeUs, flushUs } = judgeFlush(kind, f.writeAloneUs, f.writeAndFlushUs);
  const figures = {
    honesty: honesty === 'notKnown' ? 'not known' : honesty,
    device: kind.device,
    rotational: kind.rotational,
    writeCache: kind.writeCache,
    samples,
    writeUs,
    flushUs,
  };
  const verdict = { honest: 'pass', suspicious: 'fail', notKnown: 'notTested' } as const;
  return outcome(FLUSH, verdict[honesty], reason, figures);
}

function rate(mib: number, ms: number): number {
  return ms === 0 ? 0 : rounded(mib / (ms / 1000));
}
