// A share of the free memory is filled with patterns and read again.
import { readFileSync } from 'node:fs';
import { allowedCpus } from '../../drivers/ethernet/index.ts';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import type { MemoryFigures } from './memory-work.ts';
import type { TestResult } from './result.ts';
import { startWork } from './worker.ts';

export const memory: BurnInTest = { id: 'memory', title: 'memory', run };

const MIB = 2 ** 20;
/** Below this the caches would be tested. */
const SMALLEST_BYTES = 64 * MIB;
/** More threads would only wait for the same memory. */
const THREADS_MAX = 8;
/** Stays free for everything else on this machine. */
const RESERVE_BYTES = 256 * MIB;

/** Of /proc/meminfo, in bytes. Throws when it is not there (before Linux 3.14). */
export function availableMemoryBytes(meminfo = readFileSync('/proc/meminfo', 'latin1')): number {
  const kib = /^MemAvailable:\s+(\d{1,15}) kB$/m.exec(meminfo)?.[1];
  if (kib === undefined) throw new Error('/proc/meminfo does not tell MemAvailable');
  return Number(kib) * 1024;
}

/** What is taken of the free memory; 0: too little. */
export function testedBytes(availableBytes: number, share: number): number {
  const bytes = Math.min(availableBytes * share, availableBytes - RESERVE_BYTES);
  return bytes < SMALLEST_BYTES ? 0 : Math.floor(bytes / MIB) * MIB;
}

async function run({ options, stop, show }: TestContext): Promise<TestResult> {
  const availableBytes = availableMemoryBytes();
  const bytes = testedBytes(availableBytes, options.memoryShare);
  if (bytes === 0)
    return outcome(
      memory,
      'notTested',
      `only ${Math.floor(availableBytes / MIB)} MiB of memory are free, ${(RESERVE_BYTES + SMALLEST_BYTES) / MIB} are needed at least: end what else runs here`,
      { freeMiB: Math.floor(availableBytes / MIB) },
    );
  const threads = Math.min(THREADS_MAX, allowedCpus().length, Math.max(1, Math.floor(bytes / SMALLEST_BYTES)));
  const each = Math.floor(bytes / threads / MIB) * MIB;
  const now = new Map<number, MemoryFigures>();
  const startedMs = performance.now();
  const shares = await Promise.all(
    Array.from({ length: threads }, (_, i) =>
      startWork<MemoryFigures>({
        program: options.program,
        setup: { work: 'memory', bytes: each, from: i * each },
        stop,
        onFigures: (figures) => {
          now.set(i, figures);
          const all = [...now.values()];
          const gib = rounded(total(all, 'checkedBytes') / 2 ** 30);
          show(`${Math.round(total(all, 'bytes') / MIB)} MiB, ${gib} GiB written and checked, ${total(all, 'errors')} errors`);
        },
      }),
    ),
  );
  return judgeMemory(shares, { freeMiB: Math.floor(availableBytes / MIB), durationS: (performance.now() - startedMs) / 1000 });
}

export function judgeMemory(shares: readonly MemoryFigures[], { freeMiB, durationS }: { freeMiB: number; durationS: number }): TestResult {
  const errors = total(shares, 'errors');
  const testedMiB = Math.round(total(shares, 'bytes') / MIB);
  const checkedMiB = Math.round(total(shares, 'checkedBytes') / MIB);
  const figures = {
    freeMiB,
    testedMiB,
    fewestPasses: Math.min(...shares.map((s) => s.passes)),
    checkedMiB,
    checkedMiBPerS: Math.round(checkedMiB / Math.max(durationS, 0.001)),
    errors,
  };
  const example = shares.flatMap((s) => s.examples)[0];
  if (example)
    return outcome(
      memory,
      'fail',
      `${errors} words read wrong, the first at offset ${example.offset} of the tested memory with the pattern "${example.pattern}": ${example.found} instead of ${example.expected}: look for the module in the BMC's log and replace it`,
      figures,
    );
  if (figures.fewestPasses === 0)
    return outcome(
      memory,
      'notTested',
      `there was no time for all patterns over ${testedMiB} MiB (${checkedMiB} MiB were read back, each word right): give it longer, or less memory`,
      figures,
    );
  return outcome(memory, 'pass', `${testedMiB} of ${freeMiB} MiB free, ${checkedMiB} MiB read back, each word right`, figures);
}

function total(shares: readonly MemoryFigures[], key: 'bytes' | 'checkedBytes' | 'errors'): number {
  return shares.reduce((sum, s) => sum + s[key], 0);
}
