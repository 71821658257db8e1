// Writes the scratch area full, flushes, reads all of it again, and begins anew with other bytes; in between, how long a flush takes.
//
// Each 4 KiB has a mark, the round and its own place: a write that went elsewhere, or never, is seen, and not only one that was damaged.
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import type { ScratchOptions } from './context.ts';
import { MARK, openScratch, PIECE_BYTES, ScratchError } from './disk-scratch.ts';

export interface DiskSetup {
  scratch: ScratchOptions;
}

export interface DiskFigures {
  where: string;
  sizeMiB: number;
  rounds: number;
  writtenMiB: number;
  readMiB: number;
  /** While writing, while reading. */
  writeMs: number;
  readMs: number;
  worstWriteMs: number;
  worstReadMs: number;
  wrongPieces: number;
  /** The first one: what was wrong. */
  example: string | null;
  /** The medium or the file system refused: the sentence. */
  failed: string | null;
  /** There is nowhere to write. */
  refused: string | null;
  /** Of 4 KiB, in µs: written alone; written and flushed. */
  writeAloneUs: number[];
  writeAndFlushUs: number[];
}

const MIB = 2 ** 20;
const BLOCK_BYTES = MIB;
/** Enough for a disk's own queue to work. */
const AT_A_TIME = 8;
const FLUSH_SAMPLES_PER_ROUND = 32;
/** A median over more says nothing more. */
const FLUSH_SAMPLES_MAX = 2_000;
const TELL_MS = 500;

export async function diskWork(setup: DiskSetup, stop: AbortSignal, tell: (figures: DiskFigures) => void): Promise<DiskFigures> {
  try {
    const scratch = await openScratch(setup.scratch);
    try {
      return await exercise(scratch.store, scratch.where, stop, tell);
    } finally {
      await scratch.end();
    }
  } catch (error) {
    if (error instanceof ScratchError) return { ...emptyFigures('', 0), refused: error.message };
    if (error instanceof StoreError) return { ...emptyFigures('', 0), failed: error.message };
    throw error;
  }
}

function emptyFigures(where: string, sizeMiB: number): DiskFigures {
  return {
    where,
    sizeMiB,
    rounds: 0,
    writtenMiB: 0,
    readMiB: 0,
    writeMs: 0,
    readMs: 0,
    worstWriteMs: 0,
    worstReadMs: 0,
    wrongPieces: 0,
    example: null,
    failed: null,
    refused: null,
    writeAloneUs: [],
    writeAndFlushUs: [],
  };
}

/** On any store: tests put one below that lies. */
export async function exercise(
  store: BlockStore,
  where: string,
  stop: AbortSignal,
  tell: (figures: DiskFigures) => void,
): Promise<DiskFigures> {
  const blocks = Math.floor(store.sizeBytes / BLOCK_BYTES);
  const figures = emptyFigures(where, (blocks * BLOCK_BYTES) / MIB);
  let toldMs = performance.now();
  const told = (): void => {
    if (performance.now() - toldMs < TELL_MS) return;
    toldMs = performance.now();
    tell(figures);
  };
  try {
    for (let round = 1; !stop.aborted; round++) {
      await measureFlush(store, figures, round, stop);
      const written = await inParallel(blocks, stop, async (block) => {
        const tookMs = await timed(() => store.write(block * BLOCK_BYTES, contents(round, block)));
        figures.worstWriteMs = Math.max(figures.worstWriteMs, tookMs);
        figures.writtenMiB++;
        told();
      });
      figures.writeMs += written.tookMs + (await timed(() => store.flush()));
      // What was written is checked, also when the time is over: a second or two on an ordinary area.
      const read = await inParallel(written.blocks, null, async (block) => {
        const startedMs = performance.now();
        const bytes = await store.read(block * BLOCK_BYTES, BLOCK_BYTES);
        figures.worstReadMs = Math.max(figures.worstReadMs, performance.now() - startedMs);
        figures.readMiB++;
        verify(bytes, round, block, figures);
        told();
      });
      figures.readMs += read.tookMs;
      if (written.blocks === blocks) figures.rounds++;
    }
  } catch (error) {
    figures.failed = (error as Error).message;
  }
  return figures;
}

/** One block's bytes in a round. */
function contents(round: number, block: number): Buffer {
  const bytes = Buffer.allocUnsafe(BLOCK_BYTES);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, BLOCK_BYTES / 4);
  let x = (Math.imul(round, 0x9e3779b1) ^ Math.imul(block + 1, 0x85ebca6b)) | 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  for (let at = 0; at < BLOCK_BYTES; at += PIECE_BYTES) {
    MARK.copy(bytes, at);
    bytes.writeUInt32BE(round, at + 16);
    bytes.writeUIntBE(block * (BLOCK_BYTES / PIECE_BYTES) + at / PIECE_BYTES, at + 20, 6);
  }
  return bytes;
}

function verify(found: Buffer, round: number, block: number, figures: DiskFigures): void {
  const expected = contents(round, block);
  if (found.equals(expected)) return;
  for (let at = 0; at < BLOCK_BYTES; at += PIECE_BYTES) {
    const piece = found.subarray(at, at + PIECE_BYTES);
    if (piece.equals(expected.subarray(at, at + PIECE_BYTES))) continue;
    figures.wrongPieces++;
    figures.example ??= `at ${block * BLOCK_BYTES + at}: ${describe(piece, round, (block * BLOCK_BYTES + at) / PIECE_BYTES)}`;
  }
}

function describe(piece: Buffer, round: number, place: number): string {
  if (piece.every((byte) => byte === 0)) return 'zeroes instead of what was written';
  if (!piece.subarray(0, MARK.length).equals(MARK)) return 'something that was never written';
  if (piece.readUInt32BE(16) !== round) return `the bytes of round ${piece.readUInt32BE(16)} instead of ${round}: the write was lost`;
  if (piece.readUIntBE(20, 6) !== place)
    return `the bytes of place ${piece.readUIntBE(20, 6)} instead of ${place}: the write went elsewhere`;
  return 'damaged bytes';
}

/** 4 KiB alone, and 4 KiB with a flush, in turns: both meet the same load. */
async function measureFlush(store: BlockStore, figures: DiskFigures, round: number, stop: AbortSignal): Promise<void> {
  const bytes = contents(round, 0).subarray(0, PIECE_BYTES);
  for (let i = 0; i < FLUSH_SAMPLES_PER_ROUND && !stop.aborted && figures.writeAloneUs.length < FLUSH_SAMPLES_MAX; i++) {
    const at = ((i * 7919) % Math.floor(store.sizeBytes / PIECE_BYTES)) * PIECE_BYTES;
    figures.writeAloneUs.push(1000 * (await timed(() => store.write(at, bytes))));
    figures.writeAndFlushUs.push(
      1000 *
        (await timed(async () => {
          await store.write(at, bytes);
          await store.flush();
        })),
    );
  }
}

/** Answers how many blocks, from the first on, were done. */
async function inParallel(
  blocks: number,
  stop: AbortSignal | null,
  work: (block: number) => Promise<void>,
): Promise<{ blocks: number; tookMs: number }> {
  let next = 0;
  const tookMs = await timed(async () => {
    const one = async (): Promise<void> => {
      while (next < blocks && !stop?.aborted) await work(next++);
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, one));
  });
  return { blocks: next, tookMs };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
