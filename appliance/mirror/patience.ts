// How long is waited for an answer: of a disk, or of the partner. Says so once the oldest wait is too long.
//
// Only time in which this thread itself ran counts: a process that was stopped for ten seconds finds the answers of all that time
// waiting for it, and must not take its own sleep for somebody's silence.

/** Of one wait; given back to `end`. */
export interface Wait {
  readonly sinceMs: number;
}

export interface PatienceOptions {
  /** Of one wait. */
  limitMs: number;
  /** The oldest wait is longer than the limit. Once, until there is none any more. */
  onExhausted(): void;
  /** Monotonic ms. */
  now?(): number;
}

/** Looks so often within the limit, so that it is never exceeded by more than this share... */
const LOOKS = 16;
/** ... nor by more than this, and without keeping the thread busy. */
const LOOK_MOST_MS = 50;
const LOOK_LEAST_MS = 5;

export class Patience {
  readonly #options: PatienceOptions;
  readonly #now: () => number;
  readonly #lookMs: number;
  readonly #waits = new Set<Wait>();
  #timer: NodeJS.Timeout | undefined;
  /** Time in which this thread ran, and up to when that was counted. */
  #awakeMs = 0;
  #countedMs = 0;
  #isExhausted = false;

  constructor(options: PatienceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#lookMs = Math.min(LOOK_MOST_MS, Math.max(LOOK_LEAST_MS, options.limitMs / LOOKS));
  }

  /** Of the oldest wait; 0: there is none. */
  get oldestMs(): number {
    for (const wait of this.#waits) return this.#count() - wait.sinceMs;
    return 0;
  }

  begin(): Wait {
    const wait = { sinceMs: this.#count() };
    this.#waits.add(wait);
    if (!this.#timer && !this.#isExhausted) {
      this.#timer = setInterval(() => this.#look(), this.#lookMs);
      // Whoever waits keeps the process alive if it wants to.
      this.#timer.unref();
    }
    return wait;
  }

  end(wait: Wait): void {
    this.#waits.delete(wait);
    // The timer finds out by itself that nobody waits: a busy disk would start it anew with every request.
    if (this.#waits.size === 0) this.#isExhausted = false;
  }

  /** Nobody is told any more. */
  stop(): void {
    this.#waits.clear();
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    if (this.#waits.size === 0) this.#stop();
    if (this.oldestMs <= this.#options.limitMs) return;
    this.#isExhausted = true;
    this.#stop();
    this.#options.onExhausted();
  }

  /** A gap of more than two looks was a sleep. While nobody waits nothing is counted. */
  #count(): number {
    const now = this.#now();
    if (this.#waits.size > 0) this.#awakeMs += Math.min(Math.max(0, now - this.#countedMs), 2 * this.#lookMs);
    this.#countedMs = now;
    return this.#awakeMs;
  }
}
