// The files of one copy: where they are, in which order they are opened, and what becomes of what a crash left in them.
//
//   the disk -> its record: may it be used, is it believed? (own-record.ts) -> what lies over it (disk-stack.ts) -> the journal, replayed
//
// Nothing is written to a disk, and nothing of its checksums and restore points is touched, before its record has been asked. `adopt` is
// the way round that, by the operator's word.
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type BlockStore, SmallDiskError, type StoreError } from '../../drivers/block/index.ts';
import type { MirrorSetup } from './api.ts';
import type { CheckedStore } from './checked-store.ts';
import { identifyDisk, isMissing, pairName } from './disk-identity.ts';
import { DISK_TIMEOUT_MS, openDiskStack } from './disk-stack.ts';
import { DoubtfulDisk } from './doubtful-disk.ts';
import { blankSegments, Journal } from './journal.ts';
import { type DiskIdentity, METADATA_BYTES, type Metadata, type MetadataScale, type MetadataTrouble } from './metadata.ts';
import { adoptDisk, type KnownDisk, openRecord, refuseMissing, refuseSmall } from './own-record.ts';
import { DEFAULT_POINTS } from './restore-points/api.ts';
import type { PointStore } from './restore-points/point-store.ts';
import type { MirrorSurroundings } from './surroundings.ts';
import { type WatchedFileKind, WatchedFiles } from './watched-files.ts';
import type { WatchedStore } from './watched-store.ts';
import { writeRuns } from './write-runs.ts';

/** Of one journal segment, sparse. Reached only when no checkpoint is committed while this much is written: then protection ends. */
const SEGMENT_BYTES = 1024 * 1024 * 1024;
/** Of the overlay's scratch file, sparse: what the secondary may write between two checkpoints. */
const SCRATCH_BYTES = 4 * 1024 * 1024 * 1024;
const MENDED = 'one of the two records of the disk here was damaged: it is written again';

export interface CopyFiles {
  disk: BlockStore;
  watched: WatchedStore;
  files: WatchedFiles;
  checked: CheckedStore;
  points: PointStore;
  doubtful: DoubtfulDisk;
  metadata: Metadata;
  /** Why nothing was known of the disk when it was opened; null: it was. */
  unknown: string | null;
  /** What made it so: it may say that this copy must not be copied from. */
  trouble: MetadataTrouble | null;
  journal: Journal;
  /** What was done with what the journal held. */
  recovered: Awaited<ReturnType<typeof Journal.open>>['recovered'];
  /** What the operator should know of the disk. */
  notes: string[];
  /** Everything that is open now. */
  stores: readonly BlockStore[];
}

interface OwnFiles extends KnownDisk {
  segments: readonly [BlockStore, BlockStore];
}

/** Rejects with nothing left open. serves: as in `open` of api.ts. */
export async function openFiles(
  setup: MirrorSetup,
  around: MirrorSurroundings,
  serves: boolean,
  report: (e: Error) => void,
): Promise<CopyFiles> {
  const { openStore } = around;
  const stores: BlockStore[] = [];
  const timeoutMs = setup.timeoutMs ?? DISK_TIMEOUT_MS;
  let doubtful: DoubtfulDisk | undefined;
  const onFailed = (e: StoreError): void => {
    report(e);
    doubtful?.doubt(e.message).catch((e2: Error) => report(e2));
  };
  const files = new WatchedFiles({ openStore, timeoutMs, onFailed });
  const store = async (kind: WatchedFileKind, path: string, sizeBytes: number): Promise<BlockStore> => {
    const s = await files.open(kind, path, sizeBytes);
    stores.push(s);
    return s;
  };
  const identity = (): Promise<DiskIdentity> => identify(setup, around.scale);
  try {
    const created = await isMissing(setup.diskPath);
    if (created && serves) throw refuseMissing(setup.diskPath);
    const doubt = await DoubtfulDisk.open(`${setup.journalPath}.doubtful`);
    doubtful = doubt;
    const openOwn = async (medium: BlockStore): Promise<OwnFiles> => {
      const record = await store('record', recordPath(setup), METADATA_BYTES);
      const segment = (end: string): Promise<BlockStore> => store('journal', `${setup.journalPath}${end}`, SEGMENT_BYTES);
      const segments = [await segment('.0'), await segment('.1')] as const;
      const forgetJournal = (): Promise<void> => blankSegments(segments);
      const known = { path: setup.diskPath, disk: medium, record, identity: await identity(), created, serves, forgetJournal };
      const found = await openRecord(known);
      // What failed may have been its own file.
      if (doubt.why !== null) await found.metadata.rewrite();
      return { segments, ...found };
    };
    let own: OwnFiles | undefined;
    const {
      disk,
      watched,
      checked,
      points,
      notes: ofMedium,
    } = await openDiskStack({
      openStore,
      files,
      path: setup.diskPath,
      sizeBytes: setup.sizeBytes,
      cache: setup.cache ?? 'buffered',
      timeoutMs,
      admit: async (medium) => {
        own = await openOwn(medium);
      },
      onFailed,
      sums: {
        path: sumsPath(setup),
        identify: identity,
        onUnknown: (reason) => around.emit('sumsUnknown', { reason }),
      },
      pointsPath: `${setup.journalPath}.points`,
      points: setup.points ?? DEFAULT_POINTS,
      told: (text) => around.emit('pointNews', { text }),
    }).catch(async (e) => {
      if (!(e instanceof SmallDiskError) || e.path !== setup.diskPath) throw e;
      const record = (await isMissing(recordPath(setup))) ? null : await store('record', recordPath(setup), METADATA_BYTES);
      throw await refuseSmall(e, { record, identity: await identity(), forget: () => removeDurably(recordPath(setup)) });
    });
    stores.push(disk);
    if (!own) throw new Error('the record of the disk was not asked');
    const { metadata, unknown, trouble, mended, segments } = own;
    // Whoever changes the disk by hand removes its record: what it held before is not what belongs there.
    if (trouble !== null) await checked.forget();
    const notes = [
      ...ofMedium,
      ...(unknown === null || trouble === 'blank' ? [] : [`nothing is known of the disk here: ${unknown}`]),
      ...(mended ? [MENDED] : []),
    ];
    const { journal, recovered } = await Journal.open(segments, disk.sizeBytes);
    if (!recovered.patches.isEmpty) {
      await writeRuns(disk, recovered.patches.runs());
      await disk.flush();
    }
    await journal.reset();
    return { disk, watched, files, checked, points, doubtful, metadata, unknown, trouble, journal, recovered, notes, stores };
  } catch (e) {
    await Promise.allSettled(stores.map((s) => s.close()));
    await doubtful?.settled();
    throw e;
  }
}

/** The operator's word: the disk that is there is this pair's from now on, whatever was recorded. Nothing of it is open. */
export async function adoptFiles(setup: MirrorSetup, around: MirrorSurroundings, report: (e: Error) => void): Promise<void> {
  const { diskPath, sizeBytes, journalPath } = setup;
  const { openStore } = around;
  if (await isMissing(diskPath)) throw refuseMissing(diskPath);
  const stores: BlockStore[] = [];
  const timeoutMs = setup.timeoutMs ?? DISK_TIMEOUT_MS;
  const files = new WatchedFiles({ openStore, timeoutMs, onFailed: report });
  const store = async (kind: WatchedFileKind, path: string, bytes: number): Promise<BlockStore> => {
    const s = await files.open(kind, path, bytes);
    stores.push(s);
    return s;
  };
  try {
    const { disk } = await openDiskStack({
      openStore,
      files,
      path: diskPath,
      sizeBytes,
      timeoutMs,
      admit: async () => {
        const segment = (end: string): Promise<BlockStore> => store('journal', `${journalPath}${end}`, SEGMENT_BYTES);
        const segments = [await segment('.0'), await segment('.1')];
        const record = await store('record', recordPath(setup), METADATA_BYTES);
        const identity = await identify(setup, around.scale);
        await rm(sumsPath(setup), { force: true });
        // Points of what was there before would read what is there now.
        await rm(`${journalPath}.points`, { force: true });
        await adoptDisk({ record, identity, forgetJournal: () => blankSegments(segments) });
      },
      onFailed: report,
      pointsPath: `${journalPath}.points`,
      points: setup.points ?? DEFAULT_POINTS,
      told: () => undefined,
    });
    stores.push(disk);
  } finally {
    await Promise.allSettled(stores.map((s) => s.close()));
  }
}

/** Empty, whatever was left there. */
export async function openScratch(setup: MirrorSetup, files: WatchedFiles): Promise<BlockStore> {
  await removeScratch(setup);
  return await files.open('scratch', scratchPath(setup), SCRATCH_BYTES);
}

export async function removeScratch(setup: MirrorSetup): Promise<void> {
  await rm(scratchPath(setup), { force: true });
}

async function removeDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  const folder = await open(dirname(path), 'r');
  await folder.sync().finally(() => folder.close());
}

async function identify({ diskPath, sizeBytes, channel, pairId }: MirrorSetup, scale: MetadataScale | undefined): Promise<DiskIdentity> {
  const found = await identifyDisk(diskPath, sizeBytes, pairName(channel.pairKey, pairId));
  return scale ? { ...found, scale } : found;
}

const recordPath = ({ journalPath }: MirrorSetup): string => `${journalPath}.regions`;
const sumsPath = ({ journalPath }: MirrorSetup): string => `${journalPath}.sums`;
const scratchPath = ({ journalPath }: MirrorSetup): string => `${journalPath}.scratch`;
