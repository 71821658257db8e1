// One thread's share of the memory, filled and checked with one pattern after the other until told to stop.
import { setImmediate as turn } from 'node:timers/promises';
import { type Errors, invert, type MemoryError, noErrors, patternsOf } from './memory-patterns.ts';

export interface MemorySetup {
  bytes: number;
  /** Where this share begins in the whole, in bytes: errors are told by that. */
  from: number;
}

export interface MemoryFigures {
  /** Could be had: less than asked for where the machine ran out of it. */
  bytes: number;
  /** Whole passes: all patterns over all of the share. */
  passes: number;
  checkedBytes: number;
  errors: number;
  examples: MemoryError[];
}

/** A pass over it takes some 30 ms: so soon a stop is heard. */
const CHUNK_BYTES = 64 * 1024 * 1024;
const TELL_MS = 500;
/** For the moving inversions: neighbours differ. */
const CHECKERS = 0x55555555;

interface Share {
  chunks: { words: Uint32Array; base: number }[];
  stop: AbortSignal;
  figures: MemoryFigures;
  errors: Errors;
  tell: () => void;
}

/** @param disturb In tests: what bad memory does between writing and reading. */
export async function memoryWork(
  { bytes, from }: MemorySetup,
  stop: AbortSignal,
  tell: (figures: MemoryFigures) => void,
  disturb: (words: Uint32Array, pattern: string) => void = () => {},
): Promise<MemoryFigures> {
  const figures: MemoryFigures = { bytes: 0, passes: 0, checkedBytes: 0, errors: 0, examples: [] };
  const errors = noErrors();
  let toldMs = performance.now();
  const share: Share = {
    chunks: [],
    stop,
    figures,
    errors,
    tell: () => {
      figures.errors = errors.count;
      figures.examples = errors.examples;
      if (performance.now() - toldMs < TELL_MS) return;
      toldMs = performance.now();
      tell(figures);
    },
  };
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    try {
      const words = new Uint32Array(Math.floor(Math.min(CHUNK_BYTES, bytes - at) / 4));
      share.chunks.push({ words, base: (from + at) / 4 });
      figures.bytes += words.byteLength;
    } catch {
      break; // no more is there: what there is, is tested
    }
  }
  for (let round = 0; share.chunks.length > 0 && (await pass(share, round, disturb)); round++) figures.passes++;
  share.tell();
  return figures;
}

/** False: stopped within. */
async function pass(share: Share, round: number, disturb: (words: Uint32Array, pattern: string) => void): Promise<boolean> {
  for (const pattern of patternsOf(round)) {
    if (!(await over(share, ({ words, base }) => pattern.fill(words, base)))) return false;
    for (const { words } of share.chunks) disturb(words, pattern.name);
    if (!(await over(share, (c) => checked(share, c, () => pattern.check(c.words, c.base, share.errors))))) return false;
  }
  if (!(await over(share, ({ words }) => words.fill(CHECKERS)))) return false;
  for (const { words } of share.chunks) disturb(words, 'moving inversions');
  for (const step of [
    { from: CHECKERS, to: ~CHECKERS, down: false },
    { from: ~CHECKERS, to: CHECKERS, down: true },
    { from: CHECKERS, to: 0, down: false },
  ])
    if (!(await over(share, (c) => checked(share, c, () => invert(c.words, c.base, step, share.errors)), step.down))) return false;
  return true;
}

async function over(share: Share, work: (chunk: Share['chunks'][number]) => void, down = false): Promise<boolean> {
  for (const chunk of down ? share.chunks.toReversed() : share.chunks) {
    if (share.stop.aborted) return false;
    work(chunk);
    share.tell();
    await turn();
  }
  return true;
}

function checked({ figures }: Share, { words }: Share['chunks'][number], work: () => void): void {
  work();
  figures.checkedBytes += words.byteLength;
}
