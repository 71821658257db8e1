// The guest's disk as the mirror sees it: the medium, and what lies over it, each layer a BlockStore itself.
import type { BlockStore, FileStoreOptions } from '../../drivers/block/index.ts';

export interface DiskStackOptions {
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  path: string;
  sizeBytes: number;
}

export interface DiskStack {
  /** The topmost layer: everything that reads or writes the guest's disk goes through it. Closes all below it. */
  disk: BlockStore;
}

export async function openDiskStack(options: DiskStackOptions): Promise<DiskStack> {
  const medium = await options.openStore({ path: options.path, sizeBytes: options.sizeBytes });
  return { disk: medium };
}
