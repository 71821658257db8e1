// How late this thread's own timers are. Who reads too late finds everything late: a disk whose requests took as long as nobody ran, a BMC
// that had answered long before anybody looked. On a server that is short of processor time that is no fault of the parts.

/** Four wake-ups in a second cost nothing, and what stands still for a second is seen. */
const EVERY_MS = 250;
/** Less is how timers are. */
const LATE_FROM_MS = 100;
/** Nobody asks about what was longer ago. */
const KEPT = 64;

export interface Watch {
  now(): number;
  /** Answers how it is stopped. */
  every(ms: number, turn: () => void): () => void;
}

const THREAD: Watch = {
  now: () => performance.now(),
  every: (ms, turn) => {
    const timer = setInterval(turn, ms).unref();
    return () => clearInterval(timer);
  },
};

export class Punctuality {
  readonly #watch: Watch;
  readonly #late: { at: number; lateMs: number }[] = [];
  readonly stop: () => void;
  #turnAt: number;

  constructor(watch: Watch = THREAD) {
    this.#watch = watch;
    this.#turnAt = watch.now();
    this.stop = watch.every(EVERY_MS, () => this.#turn());
  }

  /** By how many ms at worst, since then (`now()` of the watch). */
  worstSince(at: number): number {
    return Math.max(...this.#since(at));
  }

  /** By how many ms in all. */
  totalSince(at: number): number {
    return this.#since(at).reduce((sum, lateMs) => sum + lateMs, 0);
  }

  #since(at: number): number[] {
    // Timers may run before the one that would have told.
    const soFar = Math.max(0, this.#watch.now() - this.#turnAt - EVERY_MS);
    return [soFar, ...this.#late.filter((one) => one.at >= at).map(({ lateMs }) => lateMs)];
  }

  #turn(): void {
    const at = this.#watch.now();
    const lateMs = at - this.#turnAt - EVERY_MS;
    this.#turnAt = at;
    if (lateMs < LATE_FROM_MS) return;
    this.#late.push({ at, lateMs });
    if (this.#late.length > KEPT) this.#late.shift();
  }
}
