// Measures the stalls of one connection: the longest time without progress while something is being waited for.
//
//   idle --expect--> waiting --progress--> waiting (a gap ends, the next begins) --rest--> idle (a gap ends)
//
// Pure: every method is told the time (monotonic ms). A stall that is going on when a window is read counts with its length
// so far; one that crosses windows counts in each with its whole length: the client waited that long.

/** Without progress for this long a connection is hung. Far above any take-over, far below the patience of TCP. */
export const HUNG_MS = 20_000;

/** `round` is read by the controller's marks, `sample` twice a second for the plots. */
export type MeterWindow = 'round' | 'sample';

export class ProgressMeter {
  #waitingSince: number | null = null;
  readonly #longestMs: Record<MeterWindow, number> = { round: 0, sample: 0 };

  /** Something was asked for: from now on silence is a stall. Does nothing when already waiting. */
  expect(nowMs: number): void {
    this.#waitingSince ??= nowMs;
  }

  /** Something came, and more is expected. */
  progress(nowMs: number): void {
    this.#endGap(nowMs);
    this.#waitingSince = nowMs;
  }

  /** All that was expected has come. */
  rest(nowMs: number): void {
    this.#endGap(nowMs);
    this.#waitingSince = null;
  }

  /** The connection is given up: its silence has been counted. */
  abandon(nowMs: number): void {
    this.rest(nowMs);
  }

  isHung(nowMs: number): boolean {
    return this.#waitingSince !== null && nowMs - this.#waitingSince >= HUNG_MS;
  }

  /** The longest stall of the window so far, ms. */
  longestMs(window: MeterWindow, nowMs: number): number {
    const current = this.#waitingSince === null ? 0 : nowMs - this.#waitingSince;
    return Math.max(this.#longestMs[window], current);
  }

  startWindow(window: MeterWindow): void {
    this.#longestMs[window] = 0;
  }

  #endGap(nowMs: number): void {
    if (this.#waitingSince === null) return;
    const gap = nowMs - this.#waitingSince;
    this.#longestMs.round = Math.max(this.#longestMs.round, gap);
    this.#longestMs.sample = Math.max(this.#longestMs.sample, gap);
  }
}
