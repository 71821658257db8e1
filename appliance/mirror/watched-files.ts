// The files beside the guest's disk without which its copy cannot go on: journal, record, checksums, catalogue of restore points, scratch.
//
// Each is watched as the disk itself is: who waits for one that does not answer waits as long as for the disk, then the copy here is over
// (row 12) and the partner goes on. A file that fails is over too, and never tried again. The checksums and the restore points can be done
// without: that these fail is told where it is met (kept-sums.ts, point-store.ts). Not so when they hang: whoever hangs says nothing of
// what became of the last write, so nothing that must not be wrong can be written any more.
import type { BlockStore, FileStoreOptions, StoreError } from '../../drivers/block/index.ts';
import { mustBeDrained } from './stuck-requests.ts';
import { SilentDiskError, WatchedStore } from './watched-store.ts';

/**
 * At a time, of each: so few that all of them, hanging beside a disk that hangs, leave threads of the pool to all others. What waits for
 * its turn here is short; the journal writes one batch after the other, and flushes meanwhile.
 */
const PLACES = { journal: 2, sums: 4, record: 1, points: 1, scratch: 1 } as const;

export type WatchedFileKind = keyof typeof PLACES;

export interface WatchedFilesParts {
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  /** A request that takes longer: the file has failed. */
  timeoutMs: number;
  /** One of them is over: as that of the disk. */
  onFailed(error: StoreError): void;
}

export class WatchedFiles {
  readonly #parts: WatchedFilesParts;
  readonly #opened: WatchedStore[] = [];

  constructor(parts: WatchedFilesParts) {
    this.#parts = parts;
  }

  /** How long the oldest request of any has been waited for, ms. */
  get oldestMs(): number {
    return this.#opened.reduce((most, s) => Math.max(most, s.oldestMs), 0);
  }

  /** Rejects if an earlier life of the file has requests that never returned. */
  async open(kind: WatchedFileKind, path: string, sizeBytes: number): Promise<WatchedStore> {
    const { openStore, timeoutMs, onFailed } = this.#parts;
    mustBeDrained(path);
    const canBeDoneWithout = kind === 'sums' || kind === 'points';
    const store = new WatchedStore(await openStore({ path, sizeBytes }), {
      path,
      timeoutMs,
      places: PLACES[kind],
      onFailed: (e) => {
        if (!canBeDoneWithout || e instanceof SilentDiskError) onFailed(e);
      },
    });
    this.#opened.push(store);
    return store;
  }
}
