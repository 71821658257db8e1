// The guest's disk as the mirror sees it: the medium, and what lies over it, each layer a BlockStore itself.
//
//   medium -> watched (a disk that does not answer, or failed, is over) -> checked (what it reads is what was written) -> restore points
//
// The upper two have files of their own, in which a disk that is another one counts as a loss: it is asked first whether it is the right one.
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { type BlockStore, type FileStoreOptions, type StoreCache, StoreError } from '../../drivers/block/index.ts';
import { CheckedStore } from './checked-store.ts';
import { diskName } from './disk-identity.ts';
import { KeptSums, sumsFileBytes } from './kept-sums.ts';
import type { DiskIdentity } from './metadata.ts';
import type { PointsSetup } from './restore-points/api.ts';
import { CATALOGUE_BYTES } from './restore-points/catalogue.ts';
import { openPoints } from './restore-points/open-points.ts';
import { openPointFolder } from './restore-points/point-folder.ts';
import type { PointStore } from './restore-points/point-store.ts';
import { mustBeDrained, placesOf, WatchedStore } from './watched-store.ts';

/** Longer than a disk's own attempts: those that are made for servers give up after 7 s. */
const DISK_TIMEOUT_MS = 8_000;

export interface DiskStackOptions {
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  path: string;
  sizeBytes: number;
  cache?: StoreCache;
  /** A request that takes longer: the disk has failed. */
  timeoutMs?: number;
  /** Asked before anything is written or removed, with the medium. Rejects: the disk is refused. */
  admit?(medium: BlockStore): Promise<void>;
  /** The disk is over: what it was asked for fails with this, and all that comes. Once. */
  onFailed(error: StoreError): void;
  /** Of the catalogue of restore points. */
  pointsPath: string;
  points: PointsSetup;
  /** What the operator should know of the restore points. */
  told(text: string): void;
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
  points: PointStore;
}

export async function openDiskStack(options: DiskStackOptions): Promise<DiskStack> {
  const { openStore, path, sizeBytes } = options;
  mustBeDrained(path);
  // From the top on: each closes what is below it.
  const opened: BlockStore[] = [];
  try {
    const medium = await openStore({ path, sizeBytes, cache: options.cache ?? 'buffered' });
    opened[0] = medium;
    const watched = new WatchedStore(medium, {
      path,
      timeoutMs: options.timeoutMs ?? DISK_TIMEOUT_MS,
      places: placesOf(process.env.UV_THREADPOOL_SIZE),
      onFailed: options.onFailed,
    });
    opened[0] = watched;
    await options.admit?.(watched);
    const checked = await openChecked(options, watched);
    opened[0] = checked;
    const points = await pointsOver(checked, options, opened);
    return { disk: points, watched, checked, points, notes: medium.notes ?? [] };
  } catch (e) {
    await Promise.allSettled(opened.map((s) => s.close()));
    throw e;
  }
}

async function pointsOver(below: BlockStore, options: DiskStackOptions, opened: BlockStore[]): Promise<PointStore> {
  const { openStore, path, pointsPath, told } = options;
  const { directory, maximumBytes, reserveBytes } = options.points;
  const catalogue = await openStore({ path: pointsPath, sizeBytes: CATALOGUE_BYTES });
  opened.push(catalogue);
  const folder = await openPointFolder({ directory, diskPath: path, openStore });
  return await openPoints({ below, disk: await nameOf(path), catalogue, folder, maximumBytes, reserveBytes, told });
}

/** Empty: nothing names it; then whoever puts another one in its place must remove the catalogue. */
async function nameOf(path: string): Promise<string> {
  const name = await diskName(path);
  return name === null ? '' : createHash('sha256').update(name).digest('hex').slice(0, 32);
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
