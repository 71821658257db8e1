// A disk store behind the NBD server, with everything that the protocol has: how the two drivers fit together.
import type { SpaceStore } from '../../../../drivers/block/index.ts';
import type { NbdExport, NbdExtent, ZeroesOrder } from '../../../../drivers/nbd/index.ts';

export class StoreExport implements NbdExport {
  readonly name = 'disk0';
  readonly description = 'a store';
  readonly multiConnection = true;
  readonly fastZero = true;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #store: SpaceStore;

  constructor(store: SpaceStore, readOnly = false) {
    this.#store = store;
    this.sizeBytes = store.sizeBytes;
    this.readOnly = readOnly;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#store.read(offset, length);
  }

  async write(offset: number, data: Buffer, fua: boolean): Promise<void> {
    await this.#store.write(offset, data);
    if (fua) await this.#store.flush();
  }

  async writeZeroes(offset: number, length: number, fua: boolean, order: ZeroesOrder): Promise<void> {
    await this.#store.zero(offset, length, { space: order.noHole ? 'allocate' : 'release', fast: order.fast });
    if (fua) await this.#store.flush();
  }

  /** Zeroes afterwards, whatever the medium can: two copies stay equal. */
  async trim(offset: number, length: number, fua: boolean): Promise<void> {
    await this.#store.zero(offset, length, { space: 'release' });
    if (fua) await this.#store.flush();
  }

  extents(offset: number, length: number): Promise<NbdExtent[]> {
    return this.#store.extents(offset, length);
  }

  flush(): Promise<void> {
    return this.#store.flush();
  }
}
