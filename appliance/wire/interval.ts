// The checkpoint interval counter, shared by the threads that carry the four streams.
//
// Interval 0: unprotected, or the first synchronisation: nothing is held, writes are applied at once on both copies.
// Interval n >= 1: level 3; output and writes carry n until the checkpoint that covers them is committed on the partner.
//
// Only the memory stream writes it: to 1 before READY goes on to the engine, +1 when the last byte of a checkpoint's
// device state has been read, while the guest is stopped and before LOADED goes on. A frame read late therefore gets a
// later interval, which only delays it: never an earlier one, which would release it unprotected.

/** Bytes of the SharedArrayBuffer behind an IntervalCounter. */
export const INTERVAL_COUNTER_BYTES = 4;

export class IntervalCounter {
  readonly buffer: SharedArrayBuffer;
  readonly #cell: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(INTERVAL_COUNTER_BYTES)) {
    this.buffer = buffer;
    this.#cell = new Int32Array(buffer);
  }

  get current(): number {
    return Atomics.load(this.#cell, 0);
  }

  set current(value: number) {
    Atomics.store(this.#cell, 0, value);
  }
}
