// In which order variants are visited, and how long that takes. Pure.
import type { BenchOptions } from './options.ts';
import type { VariantName } from './variants/variant.ts';

export interface Visit {
  /** From 1. */
  round: number;
  variant: VariantName;
}

/** A B C, A B C: neighbours in time are what is compared, so that a machine that grows slower does so for all. */
export function visits(options: BenchOptions): Visit[] {
  return Array.from({ length: options.rounds }, (_, i) => options.variants.map((variant) => ({ round: i + 1, variant }))).flat();
}

/** Before anything is known, s: two idle cores under emulation. A plain guest boots in 12, a pair needs its disks compared besides. */
const FIRST_GUESS_START_S = 25;
/** Start of the client, readings, warm-up. */
const MEASURE_EXTRA_S = 1;

/** How long it will take, from what it took so far. */
export class Clock {
  readonly #options: BenchOptions;
  readonly #visits: number;
  #starts = 0;
  #startS = 0;
  #measures = 0;
  #measureS = 0;

  constructor(options: BenchOptions) {
    this.#options = options;
    this.#visits = visits(options).length;
  }

  /** Start and end of a variant. */
  started(seconds: number): void {
    this.#starts++;
    this.#startS += seconds;
  }

  measured(seconds: number): void {
    this.#measures++;
    this.#measureS += seconds;
  }

  get leftS(): number {
    const startS = this.#starts === 0 ? FIRST_GUESS_START_S : this.#startS / this.#starts;
    const measureS = this.#measures === 0 ? this.#options.seconds + MEASURE_EXTRA_S : this.#measureS / this.#measures;
    const measures = this.#visits * this.#options.measures.length;
    return Math.max(0, this.#visits - this.#starts) * startS + Math.max(0, measures - this.#measures) * measureS;
  }
}

/** 3:07 or 1:02:03. */
export function clockText(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
