// Patterns for memory, and the check of what came back. Pure over a Uint32Array.
//
// A pattern is written to all of the memory before any of it is read again: what is read then comes from the modules, not from a cache.
//   walking ones       each data line alone (and its inverse: alone at zero)
//   address in address each word holds where it is: two addresses that are one cell are seen
//   random             neighbours that disturb each other, any combination; then its inverse
//   moving inversions  each cell read, inverted and read again upwards, then downwards: cells that stick, and neighbours that follow

export interface MemoryError {
  pattern: string;
  /** Of the tested memory, in bytes. */
  offset: number;
  expected: string;
  found: string;
}

export interface Errors {
  count: number;
  /** The first ones. */
  examples: MemoryError[];
}

const EXAMPLES_MAX = 16;

export function noErrors(): Errors {
  return { count: 0, examples: [] };
}

export interface Pattern {
  name: string;
  /** @param base Index of the chunk's first word in the whole. */
  fill(words: Uint32Array, base: number): void;
  check(words: Uint32Array, base: number, errors: Errors): void;
}

/** The inverse is in the name: an error tells which line stuck at what. */
function byIndex(name: string, value: (index: number) => number): Pattern {
  return {
    name,
    fill: (words, base) => {
      for (let i = 0; i < words.length; i++) words[i] = value(base + i);
    },
    check: (words, base, errors) => {
      for (let i = 0; i < words.length; i++) {
        const expected = value(base + i) >>> 0;
        if (words[i] !== expected) add(errors, name, base + i, expected, words[i] ?? 0);
      }
    },
  };
}

/** A hash of the index: random to the memory, and known when it is read (lowbias32, by Wellons). */
function scrambled(index: number, seed: number): number {
  let x = index ^ seed;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

/** All but the moving inversions, for one round; each round has other bits. */
export function patternsOf(round: number): Pattern[] {
  const shift = round % 32;
  const seed = scrambled(round, 0x5bd1e995);
  return [
    byIndex('walking ones', (i) => 1 << ((i + shift) & 31)),
    byIndex('walking zeroes', (i) => ~(1 << ((i + shift) & 31))),
    // Beyond 16 GiB the number of the 16 GiB is in it, too.
    byIndex('address in address', (i) => (i % 0x1_0000_0000) ^ Math.floor(i / 0x1_0000_0000)),
    byIndex('random', (i) => scrambled(i, seed)),
    byIndex('random, inverse', (i) => ~scrambled(i, seed)),
  ];
}

/** Reads `from`, writes `to`, upwards or downwards. */
export function invert(words: Uint32Array, base: number, step: { from: number; to: number; down: boolean }, errors: Errors): void {
  const from = step.from >>> 0;
  const name = `moving inversions, ${step.down ? 'downwards' : 'upwards'}`;
  for (let n = 0; n < words.length; n++) {
    const i = step.down ? words.length - 1 - n : n;
    if (words[i] !== from) add(errors, name, base + i, from, words[i] ?? 0);
    words[i] = step.to;
  }
}

function add(errors: Errors, pattern: string, index: number, expected: number, found: number): void {
  errors.count++;
  if (errors.examples.length < EXAMPLES_MAX)
    errors.examples.push({ pattern, offset: index * 4, expected: hex(expected), found: hex(found) });
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}
