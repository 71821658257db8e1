// What the sequence numbers of a flood tell: lost, reordered, twice. Pure.
import type { Received } from './flood-codec.ts';

/** A frame later than this was lost and came as a ghost: it counts as reordered, not as a duplicate. */
const WINDOW = 65_536;

export class FloodReceiver {
  #highest = -1;
  #frames = 0;
  #unique = 0;
  #bytes = 0;
  #damaged = 0;
  #reordered = 0;
  #duplicated = 0;
  /** Of the last WINDOW sequence numbers: was it there? */
  readonly #seen = new Uint8Array(WINDOW);

  accept(sequence: number, bytes: number): void {
    this.#frames++;
    this.#bytes += bytes;
    if (sequence > this.#highest) {
      const skipped = Math.min(sequence - this.#highest - 1, WINDOW);
      for (let i = 1; i <= skipped; i++) this.#seen[(sequence - i) % WINDOW] = 0;
      this.#seen[sequence % WINDOW] = 1;
      this.#highest = sequence;
      this.#unique++;
      return;
    }
    if (sequence > this.#highest - WINDOW && this.#seen[sequence % WINDOW] === 1) {
      this.#duplicated++;
      return;
    }
    this.#seen[sequence % WINDOW] = 1;
    this.#unique++;
    this.#reordered++;
  }

  damaged(): void {
    this.#damaged++;
  }

  /** @param sentFrames What the sender says has left, when it has finished: those behind the last that came are lost, too. */
  read(dropped: number, sentFrames = 0): Received {
    return {
      frames: this.#frames,
      bytes: this.#bytes,
      lost: Math.max(0, Math.max(this.#highest + 1, sentFrames) - this.#unique),
      damaged: this.#damaged,
      reordered: this.#reordered,
      duplicated: this.#duplicated,
      dropped,
    };
  }
}
