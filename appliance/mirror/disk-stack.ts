// The guest's disk as the mirror sees it: the medium, and what lies over it, each layer a BlockStore itself.
import type { BlockStore, FileStoreOptions, StoreCache } from '../../drivers/block/index.ts';

export interface DiskStackOptions {
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  path: string;
  sizeBytes: number;
  cache?: StoreCache;
}

export interface DiskStack {
  /** The topmost layer: everything that reads or writes the guest's disk goes through it. Closes all below it. */
  disk: BlockStore;
  /** What the operator should know of the medium. */
  notes: readonly string[];
}

export async function openDiskStack(options: DiskStackOptions): Promise<DiskStack> {
  const medium = await options.openStore({ path: options.path, sizeBytes: options.sizeBytes, cache: options.cache ?? 'buffered' });
  return { disk: medium, notes: medium.notes ?? [] };
}
