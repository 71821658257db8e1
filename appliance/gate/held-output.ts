// Decides what of the guest's output may leave, and when. Pure: the caller tells it frames, interval and time.
//
//   The guest's output of interval n may be seen by the world only when the partner owns a state of the guest from which
//   exactly this output follows: when the checkpoint that ends interval n is committed there. Until then it waits here.
//
//        frames -> [ tag = interval ] -> queue -> (commit n: all tags <= n, in order) -> LAN
//                                          \-> releaseAll (the arbiter granted) / dropAll (this side lost)
//
// The interval only grows while a session lives. A counter that goes back means: the session ended, and no checkpoint will
// ever cover what is read from now on. Such frames are held with a tag that no commit reaches.

/** 64 MiB: half a second of a full 1 Gbit NIC, many times a checkpoint's pause. At the limit the newest frames are dropped. */
export const HELD_LIMIT_BYTES = 64 * 1024 * 1024;

/** What a held chunk costs besides its bytes: without it a flood of tiny chunks would cost many times the limit. */
export const HELD_ENTRY_OVERHEAD_BYTES = 256;

/** The tag of frames that no checkpoint will cover: only the arbiter's grant can release them. */
export const NEVER = Number.MAX_SAFE_INTEGER;

export interface HeldBatch {
  interval: number;
  batch: Buffer;
  frames: number;
  /** Monotonic ms at which it was held. */
  at: number;
}

/**
 *  pass       may leave at once: nothing is protected yet
 *  held       waits; `first`: the first of its interval, a checkpoint is wanted
 *  dropped    no room
 */
export type HoldVerdict = { kind: 'pass' } | { kind: 'held'; first: boolean } | { kind: 'dropped' };

export class HeldOutput {
  readonly #limitBytes: number;
  #queue: HeldBatch[] = [];
  #frames = 0;
  #bytes = 0;
  /** The highest interval seen since holding began. */
  #latest = 0;
  /** The highest interval that was committed since holding began. */
  #committed = 0;
  /** The interval that was last reported as first held. */
  #reported = 0;

  constructor(limitBytes: number = HELD_LIMIT_BYTES) {
    this.#limitBytes = limitBytes;
  }

  get frames(): number {
    return this.#frames;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** ms that the oldest held frame waits; 0 when none does. */
  oldestMs(now: number): number {
    const head = this.#queue[0];
    return head ? now - head.at : 0;
  }

  /** A new protection begins: intervals start again. Throws when output of an earlier one is still held. */
  begin(): void {
    if (this.#queue.length > 0)
      throw new Error(`${this.#frames} frames of an earlier protection are still held: release or drop them first`);
    this.#latest = 0;
    this.#committed = 0;
    this.#reported = 0;
  }

  /** The counter was read: from 1 on nothing passes any more, also when the guest was silent until the counter went back. */
  observe(interval: number): void {
    if (interval > this.#latest) this.#latest = interval;
  }

  /** `frozen`: nothing passes, not even before the first interval. */
  offer(batch: Buffer, frames: number, interval: number, frozen: boolean, now: number): HoldVerdict {
    this.observe(interval);
    if (this.#latest === 0 && this.#queue.length === 0 && !frozen) return { kind: 'pass' };
    const tag = interval < this.#latest ? NEVER : interval;
    const cost = batch.length + HELD_ENTRY_OVERHEAD_BYTES;
    if (this.#bytes + cost > this.#limitBytes) return { kind: 'dropped' };
    this.#queue.push({ interval: tag, batch, frames, at: now });
    this.#frames += frames;
    this.#bytes += cost;
    const first = tag > this.#reported && tag !== NEVER;
    if (first) this.#reported = tag;
    return { kind: 'held', first };
  }

  /** The partner owns interval n. Answers what may leave now, in order; nothing while frozen (it leaves with the next commit). */
  commit(interval: number, frozen: boolean): HeldBatch[] {
    if (interval >= NEVER || !Number.isSafeInteger(interval)) throw new RangeError(`commit of interval ${interval}`);
    // The counter was raised before the commit. A frame that shows this interval again is another session's.
    if (interval > 0) this.observe(interval + 1);
    if (interval > this.#committed) this.#committed = interval;
    return frozen ? [] : this.thaw();
  }

  /** The partner answered again before anyone decided: what was committed meanwhile may leave. */
  thaw(): HeldBatch[] {
    let n = 0;
    for (const held of this.#queue) {
      if (held.interval > this.#committed) break;
      n++;
      this.#frames -= held.frames;
      this.#bytes -= held.batch.length + HELD_ENTRY_OVERHEAD_BYTES;
    }
    return this.#queue.splice(0, n);
  }

  /** Everything, in order: to release after a grant, or to throw away. */
  takeAll(): HeldBatch[] {
    const all = this.#queue;
    this.#queue = [];
    this.#frames = 0;
    this.#bytes = 0;
    return all;
  }
}
