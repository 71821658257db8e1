// The addon's functions, loaded at the first use, so that pure parts can be imported on a machine where it is not built.
import { createRequire } from 'node:module';

export interface Native {
  /** fallocate(2) on a thread of the pool; answers errno, 0 for success. Modes: FALLOCATE. */
  fallocate(fd: number, mode: number, offset: number, length: number): Promise<number>;
  /**
   * Where a file has data, by SEEK_DATA and SEEK_HOLE: `[knownUntil, start, end, start, end...]`, at most 4096 ranges; or errno.
   * Between them, up to `knownUntil`, are holes.
   */
  dataRanges(fd: number, offset: number, end: number): Promise<number | number[]>;
  /**
   * Several writes in one job of the pool, each whole or failed by itself: at `positions[i]` the next `counts[i]` of `parts`. Answers null
   * when all were done, else an errno for each (0: done).
   */
  writeMany(fd: number, positions: readonly number[], counts: readonly number[], parts: readonly Uint8Array[]): Promise<number[] | null>;
}

/** <linux/falloc.h> */
export const FALLOCATE = { keepSize: 0x01, punchHole: 0x02, zeroRange: 0x10 } as const;

let loaded: Native | undefined;

/** Throws when the addon is not built. */
export function native(): Native {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)('./native/build/space.node') as Native;
  } catch (cause) {
    throw new Error(`the space addon cannot be loaded (${(cause as Error).message}): build it with drivers/block/native/build.sh`, {
      cause,
    });
  }
  return loaded;
}
