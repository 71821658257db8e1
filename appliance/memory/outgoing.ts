// What leaves the source, in order: the engine's stream, plain or in compressed batches, and the messages between.
//
// A batch is compressed on the thread pool while the next one is filled; what comes behind it waits for it, nothing else does. The engine
// is read on meanwhile: compressing is no part of the guest's pause beyond the last batch. What may wait here is bounded by the
// session's window (session.ts), which counts the engine's own bytes.
//
//   engine --> plain ----------------------------+--> queue --> channel
//          --> batch (pages as differences) --> zstd
import { zstdCompress } from 'node:zlib';
import { BatchWriter, COMPRESSION } from './batch-codec.ts';
import { PAGE_BYTES } from './codec.ts';
import type { MemoryMessage } from './messages.ts';
import { type Packing, PackingChoice } from './packing-choice.ts';
import { PageCache } from './page-cache.ts';

/** Stretches of the synchronisation that are timed: some windows long, so that one does not hide in the window of the one before. */
const SYNCHRONISATION_STRETCH_BYTES = 16 * 1024 * 1024;
const SYNCHRONISATION_TRIAL_AFTER = 2;
/** Checkpoints before the first trial: at least some seconds. */
const CHECKPOINT_TRIAL_AFTER = 32;

/** A stretch under way: `end` is unknown until its last byte was read. What it cost is timed from `fromMs`. */
interface Stretch {
  choice: PackingChoice;
  packing: Packing;
  start: number;
  fromMs: number;
  end: number;
}

interface Waiting {
  /** Undefined: still being compressed. */
  leave: (() => void) | undefined;
}

export interface OutgoingSink {
  send(message: MemoryMessage): void;
  /** The compressor failed: the session cannot go on. */
  failed(reason: string): void;
  nowMs(): number;
}

export class Outgoing {
  readonly #session: number;
  readonly #sink: OutgoingSink;
  readonly #writer: BatchWriter;
  #queue: Waiting[] = [];
  #dropped = false;
  #packing: Packing = 'plain';
  #position = 0;
  #linkBytes = 0;
  /** Where pages begin that were not met yet. */
  #pages: { offset: number; number: number }[] = [];
  #stateAt = Number.POSITIVE_INFINITY;
  /** The page in work: how much of it has come. */
  readonly #page = Buffer.allocUnsafeSlow(PAGE_BYTES);
  #pageNumber = 0;
  #pageBytes = 0;
  #flushing = false;
  readonly #synchronisation = new PackingChoice(SYNCHRONISATION_TRIAL_AFTER);
  readonly #checkpoints = new PackingChoice(CHECKPOINT_TRIAL_AFTER);
  #stretches: Stretch[] = [];

  /** @param cache Another one in tests only. */
  constructor(session: number, sink: OutgoingSink, cache: PageCache = new PageCache()) {
    this.#session = session;
    this.#sink = sink;
    this.#writer = new BatchWriter(cache);
  }

  /** Bytes given to the link for the engine's stream. */
  get linkBytes(): number {
    return this.#linkBytes;
  }

  page(offset: number, number: number): void {
    this.#pages.push({ offset, number });
  }

  deviceState(offset: number): void {
    this.#stateAt = offset;
  }

  /** A message that must not overtake the stream. */
  send(message: MemoryMessage): void {
    this.after(() => this.#sink.send(message));
  }

  /** Called when everything so far has left. */
  after(leave: () => void): void {
    this.#queue.push({ leave });
    this.#leave();
  }

  /** VMSTATE_SEND comes next. */
  beginCheckpoint(): void {
    this.#begin(this.#checkpoints);
  }

  /** The last byte of the synchronisation or of a checkpoint was fed: what comes behind it is a few words, and goes at once. */
  end(): void {
    this.#seal();
    this.#endStretch();
    // A checkpoint costs what its way to the partner takes beyond the engine's own time.
    const stretch = this.#stretches.at(-1);
    if (stretch?.choice === this.#checkpoints) stretch.fromMs = this.#sink.nowMs();
    this.#packing = 'plain';
    this.#stateAt = Number.POSITIVE_INFINITY;
  }

  /** The synchronisation is timed in stretches of its own. */
  feedSynchronisation(bytes: Buffer): void {
    const stretch = this.#stretches.at(-1);
    if (!stretch || this.#position - stretch.start >= SYNCHRONISATION_STRETCH_BYTES) {
      this.#endStretch();
      this.#begin(this.#synchronisation);
    }
    this.feed(bytes);
    // The engine may have said all it has to say for now: what is in the batch must not wait for more.
    if (this.#flushing || this.#writer.streamBytes === 0) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#seal();
    });
  }

  feed(bytes: Buffer): void {
    if (this.#packing === 'plain' && this.#pageBytes === 0) this.#plain(bytes);
    else this.#pack(bytes);
    this.#position += bytes.length;
  }

  /** The partner has so many bytes of the engine's stream. */
  arrived(bytes: number): void {
    const now = this.#sink.nowMs();
    for (;;) {
      const stretch = this.#stretches[0];
      if (!stretch || bytes < stretch.end) return;
      this.#stretches.shift();
      const next = this.#stretches[0];
      stretch.choice.measured(stretch.packing, stretch.end - stretch.start, now - stretch.fromMs);
      // It had to wait for the one before.
      if (next && next.fromMs < now) next.fromMs = now;
    }
  }

  /** Nothing leaves any more. */
  drop(): void {
    this.#dropped = true;
    this.#queue = [];
  }

  #begin(choice: PackingChoice): void {
    const packing = choice.next;
    this.#packing = packing;
    this.#stretches.push({ choice, packing, start: this.#position, fromMs: this.#sink.nowMs(), end: Number.POSITIVE_INFINITY });
  }

  #endStretch(): void {
    const stretch = this.#stretches.at(-1);
    if (stretch) stretch.end = Math.min(stretch.end, this.#position);
  }

  #plain(bytes: Buffer): void {
    this.#seal();
    const end = this.#position + bytes.length;
    const passed = this.#pages.findIndex((p) => p.offset >= end);
    this.#pages.splice(0, passed < 0 ? this.#pages.length : passed);
    this.#linkBytes += bytes.length;
    this.send({ kind: 'data', session: this.#session, bytes });
  }

  #pack(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const position = this.#position + at;
      if (this.#pageBytes > 0) {
        const taken = Math.min(PAGE_BYTES - this.#pageBytes, bytes.length - at);
        this.#page.set(bytes.subarray(at, at + taken), this.#pageBytes);
        this.#pageBytes += taken;
        at += taken;
        if (this.#pageBytes === PAGE_BYTES) this.#pageDone(this.#page);
        continue;
      }
      let next = this.#pages[0];
      while (next && next.offset < position) {
        this.#pages.shift();
        next = this.#pages[0];
      }
      if (next?.offset === position) {
        this.#pages.shift();
        this.#pageNumber = next.number;
        if (bytes.length - at >= PAGE_BYTES) {
          this.#pageDone(bytes.subarray(at, at + PAGE_BYTES));
          at += PAGE_BYTES;
        } else {
          this.#page.set(bytes.subarray(at));
          this.#pageBytes = bytes.length - at;
          at = bytes.length;
        }
        continue;
      }
      const inState = position >= this.#stateAt;
      let end = Math.min(bytes.length, next ? next.offset - this.#position : bytes.length);
      if (!inState) end = Math.min(end, this.#stateAt - this.#position);
      at += this.#writer.rest(bytes.subarray(at, end), inState ? position - this.#stateAt : undefined);
      if (this.#writer.full) this.#seal();
    }
  }

  #pageDone(content: Uint8Array): void {
    this.#writer.page(this.#pageNumber, content);
    this.#pageBytes = 0;
    if (this.#writer.full) this.#seal();
  }

  #seal(): void {
    const batch = this.#writer.seal();
    if (!batch) return;
    const waiting: Waiting = { leave: undefined };
    this.#queue.push(waiting);
    // One piece of output of any size: else every 16 KiB of it would be a turn of its own.
    zstdCompress(batch.body, { params: COMPRESSION, chunkSize: batch.body.length + 4096 }, (error, compressed) => {
      if (error) {
        if (!this.#dropped) this.#sink.failed(`the checkpoint stream cannot be compressed: ${error.message}`);
        return;
      }
      waiting.leave = () => {
        this.#linkBytes += batch.header.length + compressed.length;
        this.#sink.send({ kind: 'packed', session: this.#session, batch: batch.header, compressed });
      };
      this.#leave();
    });
  }

  #leave(): void {
    for (let first = this.#queue[0]; first?.leave; first = this.#queue[0]) {
      this.#queue.shift();
      first.leave();
    }
  }
}
