// The guest's disk as the mirror sees it: the medium, and what lies over it, each layer a BlockStore itself.
//
//   medium -> watched (a disk that does not answer, or failed, is over)
import type { BlockStore, FileStoreOptions, StoreCache, StoreError } from '../../drivers/block/index.ts';
import type { BlockReader } from './block-reader.ts';
import { mustBeDrained, placesOf, WatchedStore } from './watched-store.ts';

/** Longer than a disk's own attempts: those that are made for servers give up after 7 s. */
export const DISK_TIMEOUT_MS = 8_000;

export interface DiskStackOptions {
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  path: string;
  sizeBytes: number;
  cache?: StoreCache;
  /** A request that takes longer: the disk has failed. */
  timeoutMs?: number;
  /** The disk is over: what it was asked for fails with this, and all that comes. Once. */
  onFailed(error: StoreError): void;
}

export interface DiskStack {
  /** The topmost layer: everything that reads or writes the guest's disk goes through it. Closes all below it. */
  disk: BlockStore;
  watched: WatchedStore;
  /** What the operator should know of the medium. */
  notes: readonly string[];
  /** What a comparison of the copies reads. */
  reader: BlockReader;
}

export async function openDiskStack(options: DiskStackOptions): Promise<DiskStack> {
  const { path, sizeBytes } = options;
  mustBeDrained(path);
  const medium = await options.openStore({ path, sizeBytes, cache: options.cache ?? 'buffered' });
  const watched = new WatchedStore(medium, {
    path,
    timeoutMs: options.timeoutMs ?? DISK_TIMEOUT_MS,
    places: placesOf(process.env.UV_THREADPOOL_SIZE),
    onFailed: options.onFailed,
  });
  return { disk: watched, watched, reader: unchecked(watched), notes: medium.notes ?? [] };
}

/** Of a disk that keeps no checksums: nothing is known of any block. */
function unchecked(disk: BlockStore): BlockReader {
  return {
    check: async (offset, length) => {
      const data = await disk.read(offset, length);
      return { data, blocks: Array.from({ length: Math.ceil(length / 4096) }, () => 'unknown' as const) };
    },
    learn: () => Promise.resolve(),
  };
}
