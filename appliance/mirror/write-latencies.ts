// How long the guest's writes took since the last look, while somebody wants to know.

/** Kept of a window; of more the latest count. A p95 of as many is exact enough. */
const KEPT = 2048;

export class WriteLatencies {
  readonly #ms = new Float64Array(KEPT);
  #count = 0;

  add(ms: number): void {
    this.#ms[this.#count++ % KEPT] = ms;
  }

  /** Since the last call. */
  take(): { writes: number; p95Ms: number } {
    const writes = this.#count;
    this.#count = 0;
    const kept = this.#ms.slice(0, Math.min(writes, KEPT)).sort();
    return { writes, p95Ms: kept[Math.ceil(kept.length * 0.95) - 1] ?? 0 };
  }
}
