// Blocks whose rest is lost, and of which a part was just written: they are mended at once, from the other copy, before that is lost too.
// Nobody may ask for such a block for long. What cannot be mended now is told by the next read of it.

/** At a time. More are bad than one by one can be mended: the reads of them will. */
const MENDING_MOST = 256;

export class HalfLost {
  readonly #mend: (offset: number) => Promise<unknown>;
  /** First bytes of the blocks that are being mended. */
  readonly #mending = new Set<number>();

  constructor(mend: (offset: number) => Promise<unknown>) {
    this.#mend = mend;
  }

  found(offset: number): void {
    if (this.#mending.has(offset) || this.#mending.size >= MENDING_MOST) return;
    this.#mending.add(offset);
    this.#mend(offset)
      .catch(() => undefined)
      .finally(() => this.#mending.delete(offset));
  }
}
