// The source makes the partner's copy equal: of every extent that may differ it compares hashes and sends the blocks that do.
//
// An extent is locked against the guest's writes while it is read, compared and sent, so the guest waits for one extent
// at most. What the guest writes elsewhere meanwhile goes to both copies as always.
import type { BlockStore } from '../../drivers/block/index.ts';
import { digests } from './follower.ts';
import { COMPARE_BLOCK_BYTES, MESSAGE_MAX_DATA_BYTES } from './messages.ts';
import type { Partner } from './partner.ts';
import type { RangeLock } from './range-lock.ts';

const EXTENT_BYTES = MESSAGE_MAX_DATA_BYTES;
/** Extents at a time: one is read while another is hashed and a third travels. */
const PARALLEL_EXTENTS = 4;
const PROGRESS_EVERY_MS = 250;
const ZERO_BLOCK = Buffer.alloc(COMPARE_BLOCK_BYTES);

export interface ResyncProgress {
  comparedBytes: number;
  copiedBytes: number;
  totalBytes: number;
  rateBytesPerS: number;
}

export interface ResyncParts {
  disk: BlockStore;
  partner: Partner;
  lock: RangeLock;
  /** What may differ; null: anything. */
  suspects: { extents: ReadonlySet<number>; extentBytes: number } | null;
  /** The record that the partner's copy takes. */
  record: Uint8Array;
  /** Limit of what is copied; undefined: as fast as it goes. */
  rateBytesPerS: number | undefined;
  /** Everything was compared; both are flushed next. */
  onCompared(): void;
  onProgress(p: ResyncProgress): void;
}

/** Ends when both copies are equal and durable. Rejected when the partner is lost or either disk fails. */
export async function resync(parts: ResyncParts): Promise<{ comparedBytes: number; copiedBytes: number }> {
  const { disk, partner, lock, rateBytesPerS } = parts;
  const pieces = cut(disk.sizeBytes, parts.suspects);
  const totalBytes = pieces.reduce((sum, { length }) => sum + length, 0);
  const startedMs = performance.now();
  let next = 0;
  let comparedBytes = 0;
  let copiedBytes = 0;
  let failed: Error | undefined;
  let toldMs = startedMs;
  let toldBytes = 0;

  const tell = (force: boolean): void => {
    const nowMs = performance.now();
    if (!force && nowMs - toldMs < PROGRESS_EVERY_MS) return;
    const rate = nowMs > toldMs ? ((comparedBytes - toldBytes) * 1000) / (nowMs - toldMs) : 0;
    toldMs = nowMs;
    toldBytes = comparedBytes;
    parts.onProgress({ comparedBytes, copiedBytes, totalBytes, rateBytesPerS: Math.round(rate) });
  };

  const extent = async (start: number, length: number): Promise<void> => {
    const bytes = await disk.read(start, length);
    const differs = await partner.ask({ kind: 'compare', offset: start, length, data: digests(bytes) });
    const sent: Promise<unknown>[] = [];
    for (let i = 0; i < differs.length; i++) {
      if (differs[i] === 0) continue;
      const data = bytes.subarray(i * COMPARE_BLOCK_BYTES, (i + 1) * COMPARE_BLOCK_BYTES);
      const at = { offset: start + i * COMPARE_BLOCK_BYTES, length: data.length };
      copiedBytes += data.length;
      sent.push(
        partner.ask(
          ZERO_BLOCK.subarray(0, data.length).equals(data) ? { kind: 'zero', release: true, ...at } : { kind: 'write', ...at, data },
        ),
      );
    }
    await Promise.all(sent);
    comparedBytes += length;
  };

  const worker = async (): Promise<void> => {
    for (let piece = pieces[next++]; piece && !failed; piece = pieces[next++]) {
      const { start, length } = piece;
      try {
        await lock.with(start, start + length, () => extent(start, length));
      } catch (e) {
        failed ??= e as Error;
      }
      tell(false);
      if (rateBytesPerS) {
        const aheadMs = (copiedBytes * 1000) / rateBytesPerS - (performance.now() - startedMs);
        if (aheadMs > 1) await new Promise((resolve) => setTimeout(resolve, aheadMs));
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_EXTENTS }, worker));
  if (failed) throw failed;
  // Ours first: what it lost of its cache after the partner has forgotten that they differed would stay different.
  parts.onCompared();
  await disk.flush();
  await partner.ask({ kind: 'synced', data: parts.record });
  tell(true);
  return { comparedBytes, copiedBytes };
}

function cut(sizeBytes: number, suspects: ResyncParts['suspects']): { start: number; length: number }[] {
  const ranges = suspects
    ? [...suspects.extents]
        .sort((a, b) => a - b)
        .map((e) => ({ start: e * suspects.extentBytes, end: Math.min(sizeBytes, (e + 1) * suspects.extentBytes) }))
    : [{ start: 0, end: sizeBytes }];
  const pieces: { start: number; length: number }[] = [];
  for (const { start, end } of ranges)
    for (let at = start; at < end; at += EXTENT_BYTES) pieces.push({ start: at, length: Math.min(EXTENT_BYTES, end - at) });
  return pieces;
}
