// Patches written to a disk, run by run, each with its sums: those that came with the writes stay what they are.
import { crc32 } from 'node:zlib';
import type { BlockStore, ZeroOptions } from '../../drivers/block/index.ts';
import { blockOf, blocksIn, type PlacedSums, SUM_BLOCK_BYTES, sumOfWhole, writeWithSums } from './block-sums.ts';
import { bytesOf, type Run } from './patch-map.ts';

/** Requests of a write-back at a time: it competes with the journal's appends, which the primary's guest waits for. */
const WRITE_BACK_REQUESTS = 4;

/** Writes runs to the disk, a few at a time. */
export async function writeRuns(disk: BlockStore, runs: readonly Run[]): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let run = runs[next++]; run; run = runs[next++]) {
      if (run.pieces.length === 0) await disk.zero(run.start, run.end - run.start, spaceOf(run.release));
      else {
        const parts = await gather(run);
        await writeWithSums(disk, run.start, sumsOf(run, parts), ...parts);
      }
    }
  };
  await Promise.all(Array.from({ length: WRITE_BACK_REQUESTS }, worker));
}

/** Sums that came with the primary's writes stay what they are; the others are computed. */
function sumsOf(run: Run, parts: readonly Uint8Array[]): Uint32Array {
  const first = blockOf(run.start);
  const crcs = new Uint32Array(blocksIn(run.start, run.end - run.start));
  for (const [i, p] of run.pieces.entries()) {
    const bytes = parts[i];
    if (!bytes) continue;
    const handed: PlacedSums | undefined = p.source.kind === 'zero' ? undefined : p.source.sums;
    for (let at = p.start; at < p.end; ) {
      const block = blockOf(at);
      const stop = Math.min(p.end, (block + 1) * SUM_BLOCK_BYTES);
      const isWhole = stop - at === SUM_BLOCK_BYTES;
      const known = isWhole && handed ? sumOfWhole(handed, block) : undefined;
      crcs[block - first] = known ?? crc32(bytes.subarray(at - p.start, stop - p.start), crcs[block - first]);
      at = stop;
    }
  }
  return crcs;
}

/** What becomes of the space of zeroes. */
export function spaceOf(release: boolean): ZeroOptions {
  return { space: release ? 'release' : 'keep' };
}

/** The bytes of its pieces, in order. */
export async function gather(run: Run): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for (const p of run.pieces) {
    const bytes = await bytesOf(p);
    if (bytes) parts.push(bytes);
  }
  return parts;
}
