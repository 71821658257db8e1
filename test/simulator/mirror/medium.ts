// The guest's disk in one CoServer: a few blocks, what lies on stable media of each, and what is only in the disk's own cache. It is
// slow, hangs, fails, has no room, loses or tears what was not flushed when the power goes, and sometimes lies.
import type { Random } from '../random.ts';

export const BLOCKS_PER_EXTENT = 2;
export const EXTENTS = 6;
export const BLOCKS = EXTENTS * BLOCKS_PER_EXTENT;

/** The number of the write that a block holds; 0: none yet. */
export type Content = number;
/** Half of one write and half of another. */
export const TORN: Content = -1;
/** Nothing that anybody wrote there. */
const ROT: Content = -2;

export function extentOf(block: number): number {
  return Math.floor(block / BLOCKS_PER_EXTENT);
}

const BLOCK_BYTES = 4_096;

/** The block at a byte of the disk; and the other way round. */
export function blockAt(offset: number): number {
  return Math.floor(offset / BLOCK_BYTES) % BLOCKS;
}

export function offsetOf(block: number): number {
  return block * BLOCK_BYTES;
}

interface Cached {
  content: Content;
  /** Counts writes to this disk. */
  number: number;
}

export class Medium {
  readonly stable: Content[] = new Array<Content>(BLOCKS).fill(0);
  readonly #stableNumber: number[] = new Array<number>(BLOCKS).fill(0);
  /** Written, not flushed. */
  readonly #cache = new Map<number, Cached>();
  /** Writes that have not ended. */
  readonly #begun: { block: number; content: Content }[] = [];
  /** On stable media: the checksum that is kept of the block does not fit. What it would fit. */
  readonly #bad = new Map<number, Content>();
  /** Was flushed, and lost with the power: the disk lied. Nothing on this server can know. */
  readonly forgotten = new Set<number>();
  /** Said to be stable, and not. */
  readonly #owed = new Map<number, Content>();
  /** Flushes are answered and do nothing. */
  liesOnFlush = false;
  /** The next write goes to another block. */
  misdirects = false;
  #number = 0;

  read(block: number): Content {
    return this.#cache.get(block)?.content ?? this.stable[block] ?? 0;
  }

  /** What is read back does not fit the checksum that is kept of it: what would fit; undefined: it fits. */
  expected(block: number): Content | undefined {
    return this.#cache.has(block) ? undefined : this.#bad.get(block);
  }

  beginWrite(block: number, content: Content): void {
    this.#begun.push({ block, content });
  }

  /** Ended: read back from here on, as long as the power lasts. */
  endWrite(block: number, content: Content, random: Random): void {
    const at = this.#begun.findIndex((w) => w.block === block && w.content === content);
    if (at < 0) return;
    this.#begun.splice(at, 1);
    if (this.misdirects) {
      this.misdirects = false;
      this.rot((block + 1 + Math.floor(random.between(0, BLOCKS - 1))) % BLOCKS);
      this.rot(block, content);
      return;
    }
    this.#put(block, content);
  }

  /** It failed: what is there now, nobody knows. */
  failWrite(block: number, content: Content, random: Random): void {
    if (random.chance(0.5)) this.endWrite(block, content, random);
    const at = this.#begun.findIndex((w) => w.block === block && w.content === content);
    if (at >= 0) this.#begun.splice(at, 1);
  }

  #put(block: number, content: Content): void {
    this.#cache.set(block, { content, number: ++this.#number });
    this.forgotten.delete(block);
  }

  /** What a flush that begins now will have made stable. */
  beginFlush(): ReadonlyMap<number, Cached> {
    return new Map(this.#cache);
  }

  endFlush(covers: ReadonlyMap<number, Cached>): void {
    for (const [block, cached] of covers) {
      if (this.liesOnFlush) this.#owed.set(block, cached.content);
      else this.#settle(block, cached);
    }
  }

  #settle(block: number, cached: Cached): void {
    if (this.#cache.get(block) === cached) this.#cache.delete(block);
    // A later flush was faster.
    if (cached.number < (this.#stableNumber[block] ?? 0)) return;
    this.#store(block, cached.content, cached.number);
  }

  #store(block: number, content: Content, number = ++this.#number): void {
    this.stable[block] = content;
    this.#stableNumber[block] = number;
    this.#bad.delete(block);
    this.#owed.delete(block);
  }

  /** Nothing that can be used is left there, also not in the cache. */
  rot(block: number, expected = this.expected(block) ?? this.read(block)): void {
    this.#cache.delete(block);
    this.#store(block, ROT);
    this.#bad.set(block, expected);
    this.forgotten.delete(block);
  }

  /** The other copy's content, written and flushed. */
  repair(block: number, content: Content): void {
    this.#cache.delete(block);
    this.#store(block, content);
    this.forgotten.delete(block);
  }

  /** The process ended: the kernel may have had what was under way, or not. */
  processEnded(random: Random): void {
    for (const { block, content } of this.#begun) if (random.chance(0.5)) this.#put(block, content);
    this.#begun.length = 0;
  }

  /** A disk writes back in any order: each block that was not flushed is kept, lost, or torn in two. How many were not kept. */
  powerLost(random: Random): number {
    let lost = 0;
    const keep = (block: number, content: Content): void => {
      if (random.chance(0.5)) {
        const isWhole = this.stable[block] === content || random.chance(0.9);
        // Half a write on a block that fits no checksum fits none either.
        if (isWhole || !this.#bad.has(block)) this.#store(block, isWhole ? content : TORN);
      } else if (this.stable[block] !== content) lost++;
    };
    const owed = new Map(this.#owed);
    for (const [block, { content }] of this.#cache) keep(block, content);
    for (const { block, content } of this.#begun) keep(block, content);
    for (const [block, content] of owed) if (this.stable[block] !== content && !this.#bad.has(block)) this.forgotten.add(block);
    this.#begun.length = 0;
    this.#cache.clear();
    this.#owed.clear();
    return lost;
  }

  /** A new one is put in. */
  replace(): void {
    this.stable.fill(0);
    this.#cache.clear();
    this.#begun.length = 0;
    this.#owed.clear();
    this.#bad.clear();
    this.forgotten.clear();
    this.liesOnFlush = false;
    this.misdirects = false;
  }
}
