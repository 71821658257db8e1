// The source makes the partner's copy equal: of every piece that may differ it compares hashes and sends the blocks that do.
//
// A piece is locked against the guest's writes while it is read, compared and sent; what the guest writes elsewhere
// meanwhile goes to both copies as always. The guest's writes and the resync share the links: how much of it is under way,
// and how fast it goes, is core/resync-rate.ts's to say.
//
// A block that no copy has is left out, as the partner's copy has it, and put on the list that both keep (shared-quarantine.ts): all the
// others are worth being protected.
import type { BlockStore } from '../../drivers/block/index.ts';
import {
  afterWindow,
  charged,
  pieceCharge,
  piecesAtOnce,
  RESYNC_PIECE_BYTES,
  RESYNC_WINDOW_MS,
  type ResyncBucket,
  type ResyncRate,
  refilled,
  startResyncRate,
  waitMs,
} from '../core/resync-rate.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import { isBadRead } from './checked-store.ts';
import { digests } from './follower.ts';
import { COMPARE_BLOCK_BYTES } from './messages.ts';
import type { Partner } from './partner.ts';
import type { RangeLock } from './range-lock.ts';
import { WriteLatencies } from './write-latencies.ts';

const PROGRESS_EVERY_MS = 250;
/** The rate that is shown is that of so many reports: calm enough to tell a time from. */
const RATE_REPORTS = 12;
/** The partner's disk is flushed each time it got this much: a flush of the guest must not have to wait for all of a resync. */
const FLUSH_EVERY_BYTES = 64 * 1024 * 1024;
const ZERO_BLOCK = Buffer.alloc(COMPARE_BLOCK_BYTES);

export interface ResyncProgress {
  comparedBytes: number;
  copiedBytes: number;
  totalBytes: number;
  rateBytesPerS: number;
}

export interface ResyncParts {
  disk: Pick<BlockStore, 'sizeBytes' | 'read'>;
  partner: Partner;
  lock: RangeLock;
  /** What may differ; null: anything. */
  suspects: { extents: ReadonlySet<number>; extentBytes: number } | null;
  /** Of what is copied; undefined: as the guest's writes allow. */
  maximumBytesPerS: number | undefined;
  /** The guest's writes are added to it from now on; undefined: not any more. */
  watchWrites(latencies: WriteLatencies | undefined): void;
  /** `disk` cannot read all of the range, whose lock is held: what either copy has, and the first bytes of the blocks that none has. */
  rescue(offset: number, length: number): Promise<{ data: Buffer; lost: readonly number[] }>;
  /** No copy has these blocks: the guest gets an error for them, here and, before `end` has ended, there. Durable here when it ends. */
  giveUp(lost: readonly number[]): Promise<void>;
  /** Both copies have these blocks. */
  learn(offset: number, data: Uint8Array): Promise<void>;
  /** Everything was compared: both are flushed, and record that they are equal. */
  end(): Promise<void>;
  onProgress(p: ResyncProgress): void;
}

/** Ends when both copies are equal and durable. Rejected when the partner is lost or either disk fails. */
export async function resync(parts: ResyncParts): Promise<{ comparedBytes: number; copiedBytes: number }> {
  const { disk, partner, lock } = parts;
  const ranges = rangesOf(disk.sizeBytes, parts.suspects);
  const totalBytes = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const progress = new Progress(totalBytes, parts.onProgress);
  const pace = new Pace(parts.maximumBytesPerS ?? null);
  let failed: Error | undefined;
  const fail = (e: Error): void => {
    failed ??= e;
  };
  let unflushedBytes = 0;
  let flushing: Promise<void> = Promise.resolve();

  const piece = async (start: number, length: number): Promise<void> => {
    const { data: bytes, lost } = await disk.read(start, length).then(
      (data) => ({ data, lost: [] }),
      async (e: unknown) => (isBadRead(e) ? await parts.rescue(start, length) : Promise.reject(e as Error)),
    );
    if (lost.length > 0) await parts.giveUp(lost);
    const differs = await partner.ask({ kind: 'compare', offset: start, length, data: digests(bytes) });
    const sent: Promise<unknown>[] = [];
    let copied = 0;
    for (let i = 0; i < differs.length; i++) {
      if (differs[i] === 0) continue;
      const from = start + i * COMPARE_BLOCK_BYTES;
      for (const run of around(from, Math.min(start + length, from + COMPARE_BLOCK_BYTES), lost)) {
        const data = bytes.subarray(run.start - start, run.end - start);
        const at = { offset: run.start, length: data.length };
        copied += data.length;
        sent.push(
          partner.ask(
            ZERO_BLOCK.subarray(0, data.length).equals(data) ? { kind: 'zero', release: true, ...at } : { kind: 'write', ...at, data },
          ),
        );
      }
    }
    pace.charge(pieceCharge(length, copied));
    await Promise.all(sent);
    // Now both have it: of a block of which nothing was known here, this is what was written.
    for (const run of around(start, start + length, lost)) await parts.learn(run.start, bytes.subarray(run.start - start, run.end - start));
    progress.add(length, copied);
    unflushedBytes += copied;
    if (unflushedBytes < FLUSH_EVERY_BYTES) return;
    unflushedBytes = 0;
    flushing = flushing.then(() => partner.ask({ kind: 'flush' })).then(() => undefined, fail);
  };

  const running = new Set<Promise<void>>();
  parts.watchWrites(pace.latencies);
  try {
    for (const { start, length } of piecesOf(ranges)) {
      await pace.turn();
      while (running.size >= pace.atOnce) await Promise.race(running);
      if (failed) break;
      const work = lock
        .with(start, start + length, () => piece(start, length))
        .catch(fail)
        .finally(() => running.delete(work));
      running.add(work);
    }
    await Promise.all(running);
  } finally {
    parts.watchWrites(undefined);
  }
  if (failed) throw failed;
  await parts.end();
  progress.tell();
  return { comparedBytes: progress.comparedBytes, copiedBytes: progress.copiedBytes };
}

/** Holds the pieces back so that they go at the rate; the rate follows the guest's writes. */
class Pace {
  readonly latencies = new WriteLatencies();
  #rate: ResyncRate;
  #bucket: ResyncBucket;
  #windowMs: number;
  #chargedBytes = 0;

  constructor(ceiling: number | null) {
    this.#rate = startResyncRate(ceiling);
    this.#windowMs = performance.now();
    this.#bucket = { allowance: 0, atMs: this.#windowMs };
  }

  get atOnce(): number {
    return piecesAtOnce(this.#rate);
  }

  charge(bytes: number): void {
    this.#chargedBytes += bytes;
    this.#bucket = charged(this.#bucket, bytes);
  }

  /** Ends when the next piece may begin. */
  async turn(): Promise<void> {
    for (;;) {
      const nowMs = performance.now();
      const ms = nowMs - this.#windowMs;
      this.#bucket = refilled(this.#bucket, this.#rate.listens ? 0 : this.#rate.bytesPerS, nowMs);
      if (ms >= RESYNC_WINDOW_MS) {
        this.#rate = afterWindow(this.#rate, { ms, chargedBytes: this.#chargedBytes, ...this.latencies.take() });
        this.#windowMs = nowMs;
        this.#chargedBytes = 0;
        continue;
      }
      const left = RESYNC_WINDOW_MS - ms;
      const wait = this.#rate.listens ? left : Math.min(left, waitMs(this.#bucket, this.#rate.bytesPerS));
      // A timer is a millisecond late at least: what is due sooner begins now, and stays in the bucket's debt.
      if (wait < 1) return;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** Counts, and tells from time to time. */
class Progress {
  comparedBytes = 0;
  copiedBytes = 0;
  readonly #totalBytes: number;
  readonly #onProgress: (p: ResyncProgress) => void;
  readonly #reports = [{ ms: performance.now(), bytes: 0 }];

  constructor(totalBytes: number, onProgress: (p: ResyncProgress) => void) {
    this.#totalBytes = totalBytes;
    this.#onProgress = onProgress;
  }

  add(comparedBytes: number, copiedBytes: number): void {
    this.comparedBytes += comparedBytes;
    this.copiedBytes += copiedBytes;
    if (performance.now() - (this.#reports.at(-1)?.ms ?? 0) >= PROGRESS_EVERY_MS) this.tell();
  }

  tell(): void {
    const { comparedBytes, copiedBytes } = this;
    const ms = performance.now();
    const first = this.#reports[0] ?? { ms, bytes: comparedBytes };
    const rate = ms > first.ms ? ((comparedBytes - first.bytes) * 1000) / (ms - first.ms) : 0;
    this.#reports.push({ ms, bytes: comparedBytes });
    if (this.#reports.length > RATE_REPORTS) this.#reports.shift();
    this.#onProgress({ comparedBytes, copiedBytes, totalBytes: this.#totalBytes, rateBytesPerS: Math.round(rate) });
  }
}

interface Range {
  start: number;
  end: number;
}

function rangesOf(sizeBytes: number, suspects: ResyncParts['suspects']): Range[] {
  if (!suspects) return [{ start: 0, end: sizeBytes }];
  const { extents, extentBytes } = suspects;
  return [...extents].sort((a, b) => a - b).map((e) => ({ start: e * extentBytes, end: Math.min(sizeBytes, (e + 1) * extentBytes) }));
}

/** What is left of a range without these blocks. */
function around(start: number, end: number, lost: readonly number[]): Range[] {
  const runs: Range[] = [];
  let at = start;
  for (const block of lost) {
    if (block + SUM_BLOCK_BYTES <= start || block >= end) continue;
    if (block > at) runs.push({ start: at, end: block });
    at = block + SUM_BLOCK_BYTES;
  }
  if (at < end) runs.push({ start: at, end });
  return runs;
}

function* piecesOf(ranges: readonly Range[]): Iterable<{ start: number; length: number }> {
  for (const { start, end } of ranges)
    for (let at = start; at < end; at += RESYNC_PIECE_BYTES) yield { start: at, length: Math.min(RESYNC_PIECE_BYTES, end - at) };
}
