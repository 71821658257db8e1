// The guest's latest inputs as the primary fed them, kept by the secondary for a takeover. Pure.
//
// After a takeover the guest goes on from the last committed checkpoint: what reached the primary's guest since then is
// unknown to it. Fed again, the clients need not wait for their retransmission timers. Only an accelerator: networks may
// lose frames, so the oldest are forgotten at the limit, and a frame fed twice is a frame that the network doubled.

/** 8 MiB: 64 ms of a full 1 Gbit NIC, some checkpoint intervals. */
export const RING_LIMIT_BYTES = 8 * 1024 * 1024;

/** A guest that is fed more than its receive ring at once loses the rest anyhow. */
export const RING_LIMIT_FRAMES = 8192;

export interface RecordedInput {
  interval: number;
  batch: Buffer;
  frames: number;
}

export class InputRing {
  readonly #limitBytes: number;
  readonly #limitFrames: number;
  #queue: RecordedInput[] = [];
  #frames = 0;
  #bytes = 0;

  constructor(limitBytes: number = RING_LIMIT_BYTES, limitFrames: number = RING_LIMIT_FRAMES) {
    this.#limitBytes = limitBytes;
    this.#limitFrames = limitFrames;
  }

  get frames(): number {
    return this.#frames;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Answers how many frames were forgotten to make room. The batch must be the ring's own: it is kept. */
  record(interval: number, batch: Buffer, frames: number): number {
    this.#queue.push({ interval, batch, frames });
    this.#frames += frames;
    this.#bytes += batch.length;
    const before = this.#frames;
    let n = 0;
    while (this.#bytes > this.#limitBytes || this.#frames > this.#limitFrames) {
      const oldest = this.#queue[n];
      if (!oldest) break;
      this.#subtract(oldest);
      n++;
    }
    if (n > 0) this.#queue.splice(0, n);
    return before - this.#frames;
  }

  /**
   * The guest's state at the end of interval n is here: inputs of earlier intervals are part of it. Those of n itself stay:
   * they may have waited in front of the guest when it was stopped.
   */
  forgetBefore(interval: number): void {
    let n = 0;
    for (const r of this.#queue) {
      if (r.interval >= interval) break;
      this.#subtract(r);
      n++;
    }
    if (n > 0) this.#queue.splice(0, n);
  }

  /** Everything in order; the ring is empty afterwards. */
  takeAll(): RecordedInput[] {
    const all = this.#queue;
    this.#queue = [];
    this.#frames = 0;
    this.#bytes = 0;
    return all;
  }

  #subtract(r: RecordedInput): void {
    this.#frames -= r.frames;
    this.#bytes -= r.batch.length;
  }
}
