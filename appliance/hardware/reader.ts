// A source of readings, read again and again. One that takes long delays nobody but itself; one that fails is a reading too.
import type { Reading, ReadingSource } from '../core/faults/types.ts';
import type { SourceStatus } from './api.ts';

/** This server has no such thing: nothing is wrong, and nothing is known of it. It is looked for again seldom. */
export class Absent extends Error {}

export interface Reader {
  source: ReadingSource;
  everyMs: number;
  /** Null: nothing new. Rejects: the source cannot be read, or there is none (Absent). Ends by itself: drivers have their own time-outs. */
  read(): Promise<Reading | null>;
  close?(): void | Promise<void>;
}

const LOOK_AGAIN_MS = 60_000;
/** Drivers wait for a second and more before they give up: a thread that stood still as long may have slept through the answer. */
const LATE_MS = 1_000;
/** A failure that is excused is no reading: it is tried again soon, and not excused for ever. */
const EXCUSED_AGAIN_MS = 5_000;
const EXCUSED_IN_A_ROW = 3;

export class ReaderLoop {
  readonly #reader: Reader;
  readonly #onReading: (reading: Reading) => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #excused = 0;
  readonly #lateSince: (at: number) => number;
  status: SourceStatus;

  /** @param lateSince By how many ms this thread was late at worst since then. */
  constructor(reader: Reader, onReading: (reading: Reading) => void, lateSince: (at: number) => number = () => 0) {
    this.#lateSince = lateSince;
    this.#reader = reader;
    this.#onReading = onReading;
    this.status = { source: reader.source, state: 'waiting', reason: '', readAt: null, tookMs: 0 };
  }

  start(): void {
    void this.#round();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#reader.close?.();
  }

  async #round(): Promise<void> {
    const began = performance.now();
    let pauseMs = this.#reader.everyMs;
    try {
      const reading = await this.#reader.read();
      this.status = { ...this.status, state: 'read', reason: '', readAt: Date.now() };
      if (reading?.source === 'smart' && reading.failed.length > 0 && this.#isExcused(began)) pauseMs = Math.min(pauseMs, EXCUSED_AGAIN_MS);
      else if (reading && !this.#stopped) this.#onReading(reading);
    } catch (e) {
      const reason = (e as Error).message;
      const isAbsent = e instanceof Absent;
      this.status = { ...this.status, state: isAbsent ? 'absent' : 'failed', reason };
      if (isAbsent) pauseMs = Math.max(pauseMs, LOOK_AGAIN_MS);
      else if (this.#isExcused(began)) pauseMs = Math.min(pauseMs, EXCUSED_AGAIN_MS);
      else if (!this.#stopped) this.#onReading({ source: 'unreadable', of: this.#reader.source, reason });
    }
    this.status.tookMs = performance.now() - began;
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#round(), pauseMs);
  }

  /** It failed while this thread stood still: then nothing is known of the part. */
  #isExcused(began: number): boolean {
    this.#excused = this.#lateSince(began) >= LATE_MS && this.#excused < EXCUSED_IN_A_ROW ? this.#excused + 1 : 0;
    return this.#excused > 0;
  }
}
