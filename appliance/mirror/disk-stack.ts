// The guest's disk as the mirror sees it: the medium, and what lies over it, each layer a BlockStore itself.
//
//   medium -> watched (a disk that does not answer, or failed, is over) -> checked (what it reads is what was written)
import { rm } from 'node:fs/promises';
import { type BlockStore, type FileStoreOptions, type StoreCache, StoreError } from '../../drivers/block/index.ts';
import { CheckedStore } from './checked-store.ts';
import { KeptSums, sumsFileBytes } from './kept-sums.ts';
import type { DiskIdentity } from './metadata.ts';
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
  /** Undefined: none are kept. */
  sums?: SumsOptions;
}

export interface SumsOptions {
  /** The file. */
  path: string;
  /** Of the disk, once it is open. */
  identify(): Promise<DiskIdentity>;
  /** Of no block of the disk (or of none any more) it is known what was written: why. */
  onUnknown(reason: string): void;
}

export interface DiskStack {
  /** The topmost layer: everything that reads or writes the guest's disk goes through it. Closes all below it. */
  disk: BlockStore;
  watched: WatchedStore;
  checked: CheckedStore;
  /** What the operator should know of the medium. */
  notes: readonly string[];
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
  const checked = await openChecked(options, watched).catch(async (e: Error) => {
    await watched.close();
    throw e;
  });
  return { disk: checked, watched, checked, notes: medium.notes ?? [] };
}

/** Without its file the disk is as good as any other: that is no reason not to serve it. */
async function openChecked(options: DiskStackOptions, below: BlockStore): Promise<CheckedStore> {
  const { sums: kept, openStore } = options;
  if (!kept) return new CheckedStore(below, undefined);
  const identity = await kept.identify();
  const open = (): Promise<BlockStore> => openStore({ path: kept.path, sizeBytes: sumsFileBytes(identity) });
  let file: BlockStore | undefined;
  try {
    file = await open().catch(async (e: Error) => {
      // Too short: of another disk, or cut off.
      if (!(e instanceof StoreError && e.kind === 'setup' && e.code === 'EINVAL')) throw e;
      kept.onUnknown(e.message);
      await rm(kept.path);
      return await open();
    });
    const { sums, unknown } = await KeptSums.open(file, identity, {
      flushDisk: () => below.flush(),
      onOff: kept.onUnknown,
    });
    if (unknown !== null) kept.onUnknown(unknown);
    return new CheckedStore(below, sums);
  } catch (e) {
    await file?.close().catch(() => undefined);
    kept.onUnknown((e as Error).message);
    return new CheckedStore(below, undefined);
  }
}
