// Whether to compress: what was measured to cost less time, compressing or not. Pure.
//
// A gigabit link is slower than the compressor, a 25 gigabit link is faster; which is it here, with this CPU and what else it has to do?
// Nobody needs to know: stretches of the stream (checkpoints) are timed. Now and then some go the other way; each time that was no
// better, the next trial comes twice as late. Medians are compared, because a busy CPU makes single stretches say anything. Compressing is
// the rule: it is left only for a clear gain, because it also leaves room on the links for the other streams.

export type Packing = 'packed' | 'plain';

/** Shorter stretches say nothing. */
const LEAST_BYTES = 128 * 1024;
/** Plain must cost so much less than packed, in both ways. */
const ADVANTAGE = 1.25;
const ADVANTAGE_MS_PER_MIB = 0.5;
/** The first stretches of a trial meet an old page cache: not counted. */
const WARMING = 2;
const COUNTED = 5;
const REMEMBERED = 9;
/** So many times the median in one stretch of a plain trial: the trial is over, it costs the guest time. */
const HOPELESS = 3;
const LONGEST_PERIOD = 512;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

export class PackingChoice {
  readonly #firstPeriod: number;
  #rule: Packing = 'packed';
  /** Of the rule's latest stretches: ms per MiB. */
  #costs: number[] = [];
  #period: number;
  #stretches = 0;
  #trial: number[] | undefined;

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

  /** A stretch of `streamBytes` that went as `packing` cost `ms`. */
  measured(packing: Packing, streamBytes: number, ms: number): void {
    if (streamBytes < LEAST_BYTES || ms <= 0) return;
    const cost = (ms * 1024 * 1024) / streamBytes;
    if (packing !== this.#rule) {
      if (this.#trial) this.#tried(this.#trial, cost);
      return;
    }
    this.#costs.push(cost);
    if (this.#costs.length > REMEMBERED) this.#costs.shift();
    if (!this.#trial && ++this.#stretches >= this.#period) this.#trial = [];
  }

  #tried(trial: number[], cost: number): void {
    trial.push(cost);
    const rule = median(this.#costs);
    // Packed with an old cache may well be slow at first.
    const hopeless = this.#rule === 'packed' && cost > rule * HOPELESS + ADVANTAGE_MS_PER_MIB;
    if (!hopeless && trial.length < WARMING + COUNTED) return;
    this.#trial = undefined;
    this.#stretches = 0;
    const counted = trial.slice(WARMING);
    const [packed, plain] = this.#rule === 'packed' ? [rule, median(counted)] : [median(counted), rule];
    const best: Packing = !hopeless && packed > plain * ADVANTAGE && packed > plain + ADVANTAGE_MS_PER_MIB ? 'plain' : 'packed';
    if (best === this.#rule) {
      this.#period = Math.min(this.#period * 2, LONGEST_PERIOD);
      return;
    }
    this.#rule = best;
    this.#costs = counted;
    this.#period = this.#firstPeriod;
  }
}
