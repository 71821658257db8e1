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

/** A tile stays in the processor's cache while it is made; writing it and comparing it is the memory's work alone. */
const TILE_WORDS = 16_384;

/** @param make The words of a tile; `low` and `high` are the index of its first: high * 2^32 + low. A loop of its own each: that is fast. */
function tiled(name: string, make: (tile: Uint32Array, low: number, high: number) => void): Pattern {
  const tile = new Uint32Array(TILE_WORDS);
  const made = (at: number, length: number): Uint32Array => {
    const part = length === TILE_WORDS ? tile : tile.subarray(0, length);
    make(part, at | 0, Math.floor(at / 0x1_0000_0000));
    return part;
  };
  return {
    name,
    fill: (words, base) => {
      for (let at = 0; at < words.length; at += TILE_WORDS) words.set(made(base + at, Math.min(TILE_WORDS, words.length - at)), at);
    },
    check: (words, base, errors) => {
      for (let at = 0; at < words.length; at += TILE_WORDS) {
        const expected = made(base + at, Math.min(TILE_WORDS, words.length - at));
        const found = words.subarray(at, at + expected.length);
        if (bytesOf(found).equals(bytesOf(expected))) continue;
        for (const [i, word] of expected.entries()) if (found[i] !== word) add(errors, name, base + at + i, word, found[i] ?? 0);
      }
    },
  };
}

function bytesOf(words: Uint32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
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
    tiled('walking ones', (tile, low) => {
      for (let i = 0; i < tile.length; i++) tile[i] = 1 << ((low + i + shift) & 31);
    }),
    tiled('walking zeroes', (tile, low) => {
      for (let i = 0; i < tile.length; i++) tile[i] = ~(1 << ((low + i + shift) & 31));
    }),
    // Beyond 16 GiB the number of the 16 GiB is in it, too.
    tiled('address in address', (tile, low, high) => {
      for (let i = 0; i < tile.length; i++) tile[i] = (low + i) ^ high;
    }),
    tiled('random', (tile, low) => {
      for (let i = 0; i < tile.length; i++) tile[i] = scrambled((low + i) | 0, seed);
    }),
    tiled('random, inverse', (tile, low) => {
      for (let i = 0; i < tile.length; i++) tile[i] = ~scrambled((low + i) | 0, seed);
    }),
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
