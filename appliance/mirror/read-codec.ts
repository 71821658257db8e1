// The answer to `read`: of each block what it is, its crc32, and its bytes (table in README.md). Pure.
//
// The sums are of what is sent: a block that the other copy itself has no sum of is protected on its way all the same.
import { blockOf, blockSums, blocksIn, CONDITIONS, decodeSums, encodeSums, firstMisfit } from './block-sums.ts';
import type { CheckedRange } from './checked-store.ts';

export interface ReadAnswer extends CheckedRange {
  crcs: Uint32Array;
}

export function encodeReadAnswer(offset: number, { data, blocks }: CheckedRange): Buffer {
  return Buffer.concat([Buffer.from(blocks.map((c) => CONDITIONS.indexOf(c))), encodeSums(blockSums(offset, data)), data]);
}

/** Throws if it is not an answer about this range, or was damaged on its way. */
export function decodeReadAnswer(bytes: Buffer, offset: number, length: number): ReadAnswer {
  const count = blocksIn(offset, length);
  if (bytes.length !== count * 5 + length) throw new Error(`an answer of ${bytes.length} bytes to a read of ${length}`);
  const blocks = [...bytes.subarray(0, count)].map((n) => {
    const condition = CONDITIONS[n];
    if (!condition) throw new Error(`an answer to a read says ${n} of a block`);
    return condition;
  });
  const crcs = decodeSums(bytes.subarray(count, count * 5));
  const data = bytes.subarray(count * 5);
  const bad = firstMisfit(offset, data, crcs);
  if (bad !== undefined) throw new Error(`block ${blockOf(bad)} was damaged on its way from the partner: its checksum does not fit`);
  return { data, blocks, crcs };
}
