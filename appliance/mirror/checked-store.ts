// A disk that knows the crc32 of each of its 4 KiB blocks: what it reads is what was written, or the read fails.
//
// Sums come with a write (computed where the guest's request was received) or are computed here. What a write fills of a block at
// its ends is joined with what the block had, if that fits its sum; if it does not, or cannot be read, the block is lost until it is written
// as a whole: a sum never makes rotten bytes good. What is known, and what a crash leaves of it: kept-sums.ts.
import { crc32 } from 'node:zlib';
import { type BlockStore, type SpaceStore, StoreError, type StoreExtent, type ZeroOptions } from '../../drivers/block/index.ts';
import type { BlockCondition } from '../core/scrub.ts';
import { blockOf, blockSums, SUM_BLOCK_BYTES } from './block-sums.ts';
import type { KeptSums } from './kept-sums.ts';
import type { Flight, KeptSum } from './sums-pages.ts';
import { SilentDiskError } from './watched-store.ts';

export interface CheckedRange {
  data: Buffer;
  /** One per block. The data of an unreadable one is zero. */
  blocks: BlockCondition[];
}

export class CheckedStore implements SpaceStore {
  readonly sizeBytes: number;
  readonly #below: BlockStore;
  readonly #sums: KeptSums | undefined;
  /** A write filled a part of this block, whose rest is lost. The write has ended. */
  onHalfLost: ((offset: number) => void) | undefined;

  /** @param sums Undefined: nothing is known of any block. */
  constructor(below: BlockStore, sums: KeptSums | undefined) {
    this.#below = below;
    this.#sums = sums;
    this.sizeBytes = below.sizeBytes;
  }

  /** Rejects with an `io` error at the block that does not fit. */
  async read(offset: number, length: number): Promise<Buffer> {
    if (length === 0 || !this.#sums || this.#sums.isOff) return await this.#below.read(offset, length);
    const { start, end } = this.#whole(offset, length);
    // Outside of the disk: refused below, by its name.
    if (start < 0 || end < offset + length) return await this.#below.read(offset, length);
    const look = this.#sums.look(blockOf(start), blockOf(end - 1) + 1);
    let known: KeptSum[] = [];
    let data: Buffer;
    try {
      data = await this.#below.read(start, end - start);
      if (look.loading) await look.loading;
    } finally {
      known = this.#sums.settled(look);
    }
    for (const [i, crc] of known.entries()) {
      const at = i * SUM_BLOCK_BYTES;
      if (crc !== undefined && crc32(data.subarray(at, at + SUM_BLOCK_BYTES)) !== crc)
        throw new StoreError(
          'io',
          'read',
          start + at,
          `the block at ${start + at} is not what was written there: its checksum does not fit`,
        );
    }
    return start === offset && end === offset + length ? data : data.subarray(offset - start, offset - start + length);
  }

  /**
   * Reads whole blocks (`offset` is the first byte of one) and says of each what it is; rejects only if the disk is over. For an
   * answer that holds, no write to the range may be under way.
   */
  async check(offset: number, length: number): Promise<CheckedRange> {
    const first = blockOf(offset);
    const look = this.#sums?.look(first, blockOf(offset + length - 1) + 1);
    let data: Buffer;
    const unreadable = new Set<number>();
    let known: KeptSum[] = [];
    try {
      try {
        data = await this.#below.read(offset, length);
      } catch (e) {
        if (!isBadRead(e) || e instanceof SilentDiskError) throw e;
        data = await this.#readEach(offset, length, unreadable);
      }
      if (look?.loading) await look.loading;
    } finally {
      if (look) known = this.#sums?.settled(look) ?? [];
    }
    const blocks: BlockCondition[] = [];
    for (let at = 0, i = 0; at < length; at += SUM_BLOCK_BYTES, i++) {
      const crc = known[i];
      if (unreadable.has(i)) blocks.push('unreadable');
      else if (crc === undefined) blocks.push('unknown');
      else blocks.push(crc32(data.subarray(at, at + SUM_BLOCK_BYTES)) === crc ? 'fits' : 'wrong');
    }
    return { data, blocks };
  }

  /** The sum that is known of each block of the range, undefined where none is: also of one that is lost, which other bytes need not fit. */
  async sums(offset: number, length: number): Promise<(number | undefined)[]> {
    return (await this.#known(offset, length)).map((sum) => (sum === 'lost' ? undefined : sum));
  }

  async #known(offset: number, length: number): Promise<KeptSum[]> {
    const first = blockOf(offset);
    const end = blockOf(offset + length - 1) + 1;
    const look = this.#sums?.look(first, end);
    if (look?.loading) await look.loading;
    const known = look ? (this.#sums?.settled(look) ?? []) : [];
    return Array.from({ length: end - first }, (_, i) => known[i]);
  }

  /**
   * Whole blocks that were read, do not change, and are right (both copies agree): of those of which nothing is known, the sum is
   * known from now on. Call it while the range is locked.
   */
  async learn(offset: number, data: Uint8Array): Promise<void> {
    if (data.length === 0 || offset % SUM_BLOCK_BYTES !== 0) return;
    const known = await this.sums(offset, data.length);
    for (const [i, crc] of known.entries()) {
      if (crc !== undefined) continue;
      const at = i * SUM_BLOCK_BYTES;
      // Of a part of a block nothing is learned.
      if (at + SUM_BLOCK_BYTES > data.length && offset + data.length < this.sizeBytes) break;
      this.#sums?.learn(blockOf(offset) + i, crc32(data.subarray(at, at + SUM_BLOCK_BYTES)));
    }
  }

  /** The disk is not what it was: nothing is known of any block. Before the first request. */
  async forget(): Promise<void> {
    await this.#sums?.forget();
  }

  write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    return this.#write(offset, undefined, parts);
  }

  writeChecked(offset: number, sums: Uint32Array, ...parts: Uint8Array[]): Promise<void> {
    return this.#write(offset, sums, parts);
  }

  async zero(offset: number, length: number, options: ZeroOptions = {}): Promise<void> {
    if (length === 0 || !this.#sums || !this.#isInside(offset, length)) return await this.#below.zero(offset, length, options);
    const wait = this.#sums.enter(offset, length);
    if (wait) await wait;
    const flight = this.#sums.take(offset, length, options.fast);
    try {
      await this.#joinEdges(flight, []);
      await this.#below.zero(offset, length, options);
    } catch (e) {
      this.#sums.end(flight, e instanceof StoreError && e.kind === 'unsupported' ? 'undone' : 'failed');
      throw e;
    }
    this.#sums.end(flight, 'zero');
    this.#tellHalfLost(flight);
  }

  /** Everything that must be durable before a write to the range; undefined: it is. Need not be called. */
  prepare(offset: number, length: number): Promise<unknown> | undefined {
    return length === 0 || !this.#isInside(offset, length) ? undefined : this.#sums?.prepare(offset, length);
  }

  /**
   * Writes whole blocks that have lost their bytes, flushes and reads them again; answers what they are then. Blocks that had this sum
   * keep it all the while: cut short by a loss of power they are still known to be bad.
   */
  async rewrite(offset: number, data: Uint8Array): Promise<BlockCondition[]> {
    const sums = blockSums(offset, data);
    const known = await this.sums(offset, data.length);
    if (known.every((crc, i) => crc === sums[i])) await this.#below.write(offset, data);
    else await this.writeChecked(offset, sums, data);
    await this.flush();
    return (await this.check(offset, data.length)).blocks;
  }

  flush(): Promise<void> {
    return this.#below.flush();
  }

  async extents(offset: number, length: number): Promise<StoreExtent[]> {
    return isSpaceStore(this.#below) ? await this.#below.extents(offset, length) : [{ lengthBytes: length, hole: false, zero: false }];
  }

  async canRelease(): Promise<boolean> {
    return isSpaceStore(this.#below) && (await this.#below.canRelease());
  }

  async close(): Promise<void> {
    try {
      await this.#sums?.close();
    } finally {
      await this.#below.close();
    }
  }

  async #write(offset: number, sums: Uint32Array | undefined, parts: Uint8Array[]): Promise<void> {
    let length = 0;
    for (const p of parts) length += p.length;
    if (length === 0 || !this.#sums || !this.#isInside(offset, length)) return await this.#below.write(offset, ...parts);
    const wait = this.#sums.enter(offset, length);
    if (wait) await wait;
    const flight = this.#sums.take(offset, length);
    try {
      const edges = this.#joinEdges(flight, parts);
      if (edges) await edges;
      await this.#below.write(offset, ...parts);
    } catch (e) {
      this.#sums.end(flight, 'failed');
      throw e;
    }
    this.#sums.end(flight, sums ?? blockSums(offset, ...parts));
    if (flight.halfLost) this.#tellHalfLost(flight);
  }

  #tellHalfLost(flight: Flight): void {
    for (const block of flight.halfLost ?? []) this.onHalfLost?.(block * SUM_BLOCK_BYTES);
  }

  /** The sums that the first and last block will have, where they are filled in part only. No parts: zeroes. */
  #joinEdges(flight: Flight, parts: readonly Uint8Array[]): Promise<unknown> | undefined {
    const { offset, length, first, end, sumBefore } = flight;
    const isPart = (block: number): boolean => {
      const start = block * SUM_BLOCK_BYTES;
      return start < offset || Math.min(start + SUM_BLOCK_BYTES, this.sizeBytes) > offset + length;
    };
    const joins: Promise<void>[] = [];
    if (typeof sumBefore.first === 'number' && isPart(first)) joins.push(this.#joinEdge(flight, first, sumBefore.first, parts));
    if (end - 1 > first && typeof sumBefore.last === 'number' && isPart(end - 1))
      joins.push(this.#joinEdge(flight, end - 1, sumBefore.last, parts));
    return joins.length > 0 ? Promise.all(joins) : undefined;
  }

  async #joinEdge(flight: Flight, block: number, before: number, parts: readonly Uint8Array[]): Promise<void> {
    const start = block * SUM_BLOCK_BYTES;
    let bytes: Buffer;
    try {
      bytes = await this.#below.read(start, Math.min(SUM_BLOCK_BYTES, this.sizeBytes - start));
    } catch (e) {
      if (!isBadRead(e)) throw e;
      flight.edges ??= new Map();
      flight.edges.set(block, 'lost');
      return;
    }
    const wasRight = crc32(bytes) === before;
    const from = Math.max(start, flight.offset);
    bytes.fill(0, from - start, Math.min(start + bytes.length, flight.offset + flight.length) - start);
    let at = flight.offset;
    for (const p of parts) {
      if (at + p.length > from && at < start + bytes.length) {
        const skip = Math.max(0, from - at);
        bytes.set(p.subarray(skip, start + bytes.length - at), at + skip - start);
      }
      at += p.length;
    }
    flight.edges ??= new Map();
    flight.edges.set(block, wasRight ? crc32(bytes) : 'lost');
  }

  async #readEach(offset: number, length: number, unreadable: Set<number>): Promise<Buffer> {
    const data = Buffer.alloc(length);
    for (let at = 0, i = 0; at < length; at += SUM_BLOCK_BYTES, i++) {
      try {
        (await this.#below.read(offset + at, Math.min(SUM_BLOCK_BYTES, length - at))).copy(data, at);
      } catch (e) {
        if (!isBadRead(e)) throw e;
        unreadable.add(i);
      }
    }
    return data;
  }

  #whole(offset: number, length: number): { start: number; end: number } {
    return wholeBlocks(offset, length, this.sizeBytes);
  }

  #isInside(offset: number, length: number): boolean {
    return Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && offset + length <= this.sizeBytes;
  }
}

/** The range, extended to whole blocks. */
export function wholeBlocks(offset: number, length: number, sizeBytes: number): { start: number; end: number } {
  const start = blockOf(offset) * SUM_BLOCK_BYTES;
  return { start, end: Math.min(sizeBytes, Math.ceil((offset + length) / SUM_BLOCK_BYTES) * SUM_BLOCK_BYTES) };
}

/** Of the medium, not of the caller: the other copy may have what was asked for. */
export function isBadRead(e: unknown): e is StoreError {
  return e instanceof SilentDiskError || (e instanceof StoreError && e.operation === 'read' && e.kind === 'io' && e.code !== 'EBADF');
}

function isSpaceStore(store: BlockStore): store is SpaceStore {
  return 'extents' in store && 'canRelease' in store;
}
