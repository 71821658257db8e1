// Whole blocks of one copy, with what is known of each: what a comparison of the copies reads.
import type { BlockCondition } from '../core/scrub.ts';

export interface CheckedRange {
  data: Buffer;
  /** One per 4 KiB. The data of an unreadable one is zero. */
  blocks: BlockCondition[];
}

export interface BlockReader {
  /** `offset` is the first byte of a block; the range ends with a block, or with the disk. Rejects only if all of the disk fails. */
  check(offset: number, length: number): Promise<CheckedRange>;
  /** Both copies have these blocks: where nothing was known of them, this is. */
  learn(offset: number, data: Uint8Array): Promise<void>;
}
