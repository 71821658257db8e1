// Drift between two clocks from questions and answers over a link that is flooded. Pure.
//
// An answer gives the offset to within half of its round trip (RFC 5905 section 8: offset and delay). Under load round trips differ a
// thousandfold, and the fastest of a quarter of the time is nearly undisturbed: the first quarter's is compared with the last one's.

export interface OffsetSample {
  atUs: number;
  offsetUs: number;
  roundTripUs: number;
}

/** A day of bests of a second. */
const SAMPLES_MAX = 86_400;
const SECOND_US = 1_000_000;
/** Both times a quarter of this: below it even a good sample says little. */
const SHORTEST_US = 8 * SECOND_US;

export class ClockOffsets {
  readonly #best: OffsetSample[] = [];

  /** @param echoUs Our clock, when the question left. @param heldUs How long the partner kept it. @param sentUs The partner's, at its answer. */
  add({ nowUs, echoUs, heldUs, sentUs }: { nowUs: number; echoUs: number; heldUs: number; sentUs: number }): void {
    const roundTripUs = nowUs - echoUs - heldUs;
    if (roundTripUs < 0 || echoUs === 0) return; // an echo of another life
    const sample = { atUs: nowUs, offsetUs: (sentUs - heldUs - echoUs + (sentUs - nowUs)) / 2, roundTripUs };
    const last = this.#best.at(-1);
    if (last && Math.floor(last.atUs / SECOND_US) === Math.floor(nowUs / SECOND_US)) {
      if (roundTripUs < last.roundTripUs) this.#best[this.#best.length - 1] = sample;
    } else if (this.#best.length < SAMPLES_MAX) this.#best.push(sample);
  }

  /** Parts per million that the partner's clock is faster; null: too short. */
  drift(): { ppm: number; uncertaintyPpm: number } | null {
    const [first, last] = [this.#best[0], this.#best.at(-1)];
    if (!first || !last || last.atUs - first.atUs < SHORTEST_US) return null;
    const quarter = (last.atUs - first.atUs) / 4;
    const early = fastest(this.#best.filter((s) => s.atUs <= first.atUs + quarter));
    const late = fastest(this.#best.filter((s) => s.atUs >= last.atUs - quarter));
    if (!early || !late) return null;
    const betweenUs = late.atUs - early.atUs;
    return {
      ppm: ((late.offsetUs - early.offsetUs) / betweenUs) * 1e6,
      uncertaintyPpm: ((early.roundTripUs + late.roundTripUs) / 2 / betweenUs) * 1e6,
    };
  }
}

function fastest(samples: readonly OffsetSample[]): OffsetSample | undefined {
  return samples.toSorted((a, b) => a.roundTripUs - b.roundTripUs)[0];
}
