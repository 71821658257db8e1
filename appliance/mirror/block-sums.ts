// The crc32 of every 4 KiB block of the guest's disk: computed once, where the guest's write is received, and handed from
// there to both copies. Pure.
//
// A write has one sum for each block that it touches, in order: of the whole block, or at an end of only the bytes that it
// writes there. The last block of the disk may be shorter.
import { crc32 } from 'node:zlib';
import type { BlockStore } from '../../drivers/block/index.ts';
import type { BlockCondition } from '../core/scrub.ts';

export const SUM_BLOCK_BYTES = 4096;
const ZEROES = Buffer.alloc(SUM_BLOCK_BYTES);
export const ZERO_SUM = crc32(ZEROES);

/** In the order of their numbers in the messages. */
export const CONDITIONS: readonly BlockCondition[] = ['fits', 'wrong', 'unknown', 'unreadable'];

/** It is known that this copy does not have it. */
export function isBad(c: BlockCondition): boolean {
  return c === 'wrong' || c === 'unreadable';
}

/** The sums of the bytes [start, end) of the disk. */
export interface PlacedSums {
  readonly start: number;
  readonly end: number;
  readonly crcs: Uint32Array;
}

export function blockOf(offset: number): number {
  return Math.floor(offset / SUM_BLOCK_BYTES);
}

/** How many blocks a range touches. */
export function blocksIn(offset: number, length: number): number {
  return length === 0 ? 0 : blockOf(offset + length - 1) - blockOf(offset) + 1;
}

/** What a block of `lengthBytes` zeroes has. */
export function zeroSum(lengthBytes: number): number {
  return lengthBytes === SUM_BLOCK_BYTES ? ZERO_SUM : crc32(ZEROES.subarray(0, lengthBytes));
}

/** Of the parts, one after the other, from `offset` of the disk on. */
export function blockSums(offset: number, ...parts: readonly Uint8Array[]): Uint32Array {
  let length = 0;
  for (const p of parts) length += p.length;
  const crcs = new Uint32Array(blocksIn(offset, length));
  // The usual write of the guest.
  if (crcs.length === 1 && parts.length === 1 && parts[0]) {
    crcs[0] = crc32(parts[0]);
    return crcs;
  }
  const first = blockOf(offset);
  let at = offset;
  for (const p of parts) {
    for (let from = 0; from < p.length; ) {
      const block = blockOf(at);
      const to = Math.min(p.length, from + (block + 1) * SUM_BLOCK_BYTES - at);
      // A block of several parts: the sum goes on where the part before ended.
      crcs[block - first] = crc32(p.subarray(from, to), crcs[block - first]);
      at += to - from;
      from = to;
    }
  }
  return crcs;
}

/** Where the first block begins that does not have its sum. Undefined: all fit. */
export function firstMisfit(offset: number, data: Uint8Array, crcs: Uint32Array): number | undefined {
  const found = blockSums(offset, data);
  if (found.length !== crcs.length) return offset;
  for (let i = 0; i < found.length; i++) if (found[i] !== crcs[i]) return Math.max(offset, (blockOf(offset) + i) * SUM_BLOCK_BYTES);
  return undefined;
}

/** The sum of a whole block, if `sums` has it. */
export function sumOfWhole(sums: PlacedSums, block: number): number | undefined {
  const start = block * SUM_BLOCK_BYTES;
  if (start < sums.start || start + SUM_BLOCK_BYTES > sums.end) return undefined;
  return sums.crcs[block - blockOf(sums.start)];
}

/** Big endian, as they follow a write's data on the links. */
export function encodeSums(crcs: Uint32Array): Buffer {
  const b = Buffer.allocUnsafe(crcs.length * 4);
  for (let i = 0; i < crcs.length; i++) b.writeUInt32BE(crcs[i] ?? 0, i * 4);
  return b;
}

/** All from `start` of the bytes on. */
export function decodeSums(bytes: Buffer, start = 0): Uint32Array {
  const crcs = new Uint32Array((bytes.length - start) / 4);
  for (let i = 0; i < crcs.length; i++) crcs[i] = bytes.readUInt32BE(start + i * 4);
  return crcs;
}

/** To a layer that hands sums down or keeps them, else as a plain write. */
export function writeWithSums(disk: BlockStore, offset: number, sums: Uint32Array | undefined, ...parts: Uint8Array[]): Promise<void> {
  return sums && disk.writeChecked ? disk.writeChecked(offset, sums, ...parts) : disk.write(offset, ...parts);
}
