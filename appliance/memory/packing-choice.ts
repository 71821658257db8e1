// Whether to compress: what was measured to be faster to the partner, compressing or not. Pure.
//
// A gigabit link is slower than the compressor, a 25 gigabit link is faster; which is it here, with this CPU and what else it has to do?
// Nobody needs to know: stretches of the stream (checkpoints) are timed from the engine's first byte to the partner's last. Now and then
// some go the other way; each time that was no better, the next trial comes twice as late. Compressing is the rule: it is left only for a clear
// gain, because it also leaves room on the links for the other streams.

export type Packing = 'packed' | 'plain';

/** Shorter stretches say nothing about rates. */
const LEAST_BYTES = 128 * 1024;
/** Plain must be so much faster than packed. */
const ADVANTAGE = 1.25;
/** The first stretches of a trial meet an old page cache: not counted. */
const WARMING = 2;
const COUNTED = 2;
/** So much slower in one stretch: the trial is over, it costs the guest time. */
const HOPELESS = 0.5;
const LONGEST_PERIOD = 1024;
/** Weight of the newest stretch in the rate of the rule. */
const WEIGHT = 1 / 8;

export class PackingChoice {
  readonly #firstPeriod: number;
  #rule: Packing = 'packed';
  /** Of the rule: bytes/ms. */
  #rate: number | undefined;
  #period: number;
  #stretches = 0;
  #trial: { stretches: number; bytes: number; ms: number } | undefined;

  /** @param firstPeriod Stretches before the first trial. */
  constructor(firstPeriod: number) {
    this.#firstPeriod = firstPeriod;
    this.#period = firstPeriod;
  }

  /** For the stretch that begins now. */
  get next(): Packing {
    if (!this.#trial) return this.#rule;
    return this.#rule === 'packed' ? 'plain' : 'packed';
  }

  /** A stretch of `streamBytes` that went as `packing` had arrived after `ms`. */
  measured(packing: Packing, streamBytes: number, ms: number): void {
    if (streamBytes < LEAST_BYTES || ms <= 0) return;
    const rate = streamBytes / ms;
    if (packing === this.#rule) {
      this.#rate = this.#rate === undefined ? rate : this.#rate + (rate - this.#rate) * WEIGHT;
      if (!this.#trial && ++this.#stretches >= this.#period) this.#trial = { stretches: 0, bytes: 0, ms: 0 };
    } else if (this.#trial && this.#rate !== undefined) this.#tried(this.#trial, this.#rate, streamBytes, ms);
  }

  #tried(trial: { stretches: number; bytes: number; ms: number }, rate: number, streamBytes: number, ms: number): void {
    trial.stretches++;
    if (trial.stretches > WARMING) {
      trial.bytes += streamBytes;
      trial.ms += ms;
    }
    // Packed with an old cache may well be slow at first.
    const hopeless = this.#rule === 'packed' && streamBytes / ms < rate * HOPELESS;
    if (!hopeless && trial.stretches < WARMING + COUNTED) return;
    this.#trial = undefined;
    this.#stretches = 0;
    const better = !hopeless && trial.bytes / trial.ms > (this.#rule === 'packed' ? rate * ADVANTAGE : rate / ADVANTAGE);
    if (!better) {
      this.#period = Math.min(this.#period * 2, LONGEST_PERIOD);
      return;
    }
    this.#rule = this.#rule === 'packed' ? 'plain' : 'packed';
    this.#rate = trial.bytes / trial.ms;
    this.#period = this.#firstPeriod;
  }
}
