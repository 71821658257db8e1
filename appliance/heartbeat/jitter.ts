// How late the clock of this thread is: a histogram of the last one to two windows. Pure; adding a sample costs nothing and keeps nothing.

/** A rare stall must still be in memory when the next one comes; an old one should not slow down detection for ever. */
const WINDOW_MS = 60_000;
const BUCKET_MS = 0.1;
/** 200 ms; later than that the exact value does not matter for the percentiles. */
const BUCKETS = 2_000;

interface Window {
  counts: Uint32Array;
  samples: number;
  maxMs: number;
}

export interface Jitter {
  samples: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

function emptyWindow(): Window {
  return { counts: new Uint32Array(BUCKETS + 1), samples: 0, maxMs: 0 };
}

export class JitterMeter {
  #current = emptyWindow();
  #previous = emptyWindow();
  #turnMs: number;

  constructor(at: number) {
    this.#turnMs = at + WINDOW_MS;
  }

  add(at: number, latenessMs: number): void {
    if (at >= this.#turnMs) {
      // The older window is used again: no garbage in this thread.
      const oldest = this.#previous;
      this.#previous = this.#current;
      oldest.counts.fill(0);
      oldest.samples = 0;
      oldest.maxMs = 0;
      this.#current = oldest;
      this.#turnMs = at + WINDOW_MS;
    }
    const late = Math.max(0, latenessMs);
    const bucket = Math.min(BUCKETS, Math.floor(late / BUCKET_MS));
    const window = this.#current;
    window.counts[bucket] = (window.counts[bucket] ?? 0) + 1;
    window.samples++;
    window.maxMs = Math.max(window.maxMs, late);
  }

  get maxMs(): number {
    return Math.max(this.#current.maxMs, this.#previous.maxMs);
  }

  /** Percentiles are upper edges of 0.1 ms. */
  read(): Jitter {
    const samples = this.#current.samples + this.#previous.samples;
    return { samples, p50Ms: this.#percentile(samples, 0.5), p99Ms: this.#percentile(samples, 0.99), maxMs: this.maxMs };
  }

  #percentile(samples: number, fraction: number): number {
    let left = Math.ceil(samples * fraction);
    if (left === 0) return 0;
    for (let i = 0; i <= BUCKETS; i++) {
      left -= (this.#current.counts[i] ?? 0) + (this.#previous.counts[i] ?? 0);
      if (left <= 0) return Math.min((i + 1) * BUCKET_MS, this.maxMs);
    }
    return this.maxMs;
  }
}

/** The smallest time-out that makes sense: three intervals, and both this clock and the partner's may be late. */
export function floorMs(intervalMs: number, worstLatenessMs: number): number {
  return 3 * intervalMs + 2 * worstLatenessMs;
}
