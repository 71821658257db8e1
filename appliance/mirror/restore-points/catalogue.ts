// The catalogue of restore points in its file beside the journal: two slots, written one after the other, so that one is always
// whole. It is apart from the before-images on purpose: that a point cannot be trusted any more must be durable before the guest's
// write that spoils it, also when the place of the before-images has failed.
import type { BlockStore } from '../../../drivers/block/index.ts';
import { CATALOGUE_SLOT_BYTES, type Catalogue, decodeCatalogue, encodeCatalogue } from './catalogue-codec.ts';

/** Of the file. */
export const CATALOGUE_BYTES = 2 * CATALOGUE_SLOT_BYTES;

export class CatalogueFile {
  readonly #store: BlockStore;
  #counter: bigint;
  #value: Catalogue;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(store: BlockStore, value: Catalogue, counter: bigint) {
    this.#store = store;
    this.#value = value;
    this.#counter = counter;
  }

  /** damaged: both slots are, though something was written there: which points there were is not known any more. */
  static async open(store: BlockStore, fresh: Catalogue): Promise<{ file: CatalogueFile; damaged: boolean }> {
    const slots = [await store.read(0, CATALOGUE_SLOT_BYTES), await store.read(CATALOGUE_SLOT_BYTES, CATALOGUE_SLOT_BYTES)];
    const [newest] = slots
      .map(decodeCatalogue)
      .filter((s) => s !== null)
      .sort((a, b) => (a.counter < b.counter ? 1 : -1));
    if (newest) return { file: new CatalogueFile(store, newest.catalogue, newest.counter), damaged: false };
    return { file: new CatalogueFile(store, fresh, 0n), damaged: slots.some((s) => s.some((byte) => byte !== 0)) };
  }

  get value(): Catalogue {
    return this.#value;
  }

  /** Durable when it ends. `next` gets what it is by then. After a failure the next one goes to the same slot: the other is whole. */
  change(next: (c: Catalogue) => Catalogue): Promise<void> {
    const run = this.#turn.then(async () => {
      const value = next(this.#value);
      // Seen at once: whoever asks must not be told of a point that is being given up.
      this.#value = value;
      const counter = this.#counter + 1n;
      await this.#store.write(Number(counter % 2n) * CATALOGUE_SLOT_BYTES, encodeCatalogue(value, counter));
      await this.#store.flush();
      this.#counter = counter;
    });
    this.#turn = run.catch(() => undefined);
    return run;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#store.close();
  }
}
