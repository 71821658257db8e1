// Restore points as a start finds them: which files there are, which points can still be trusted.
import type { BlockStore } from '../../../drivers/block/index.ts';
import { mustBeDrained } from '../stuck-requests.ts';
import { CatalogueFile } from './catalogue.ts';
import type { Catalogue, PointEntry } from './catalogue-codec.ts';
import type { PointFolder } from './point-folder.ts';
import { type PointPlace, PointStore } from './point-store.ts';
import { Segment } from './segment.ts';
import { GRAIN_BYTES, segmentBytes } from './segment-codec.ts';

/** How much room there is, is asked once per so much that was written: a look at the file system costs more than a comparison. */
const LOOK_EVERY_BYTES = 64 * 1024 * 1024;

export interface OpenPointsParts {
  below: BlockStore;
  /** Which disk it is; empty: that cannot be told. */
  disk: string;
  /** Of CATALOGUE_BYTES; closed with the store. */
  catalogue: BlockStore;
  folder: PointFolder;
  /** Of all before-images here; 0: as much as the disk has. */
  maximumBytes: number;
  /** So much of the file system stays free: the disk itself may live there. */
  reserveBytes: number;
  /** What the operator should know. */
  told(text: string): void;
  saveWithinMs?: number;
  closeWithinMs?: number;
}

/** Nothing may write to the disk before it ends. */
export async function openPoints(parts: OpenPointsParts): Promise<PointStore> {
  const { below, told, disk, folder } = parts;
  const fresh: Catalogue = { disk, sizeBytes: below.sizeBytes, points: [], rollingBack: null };
  const { file, damaged } = await CatalogueFile.open(parts.catalogue, fresh);
  if (damaged) told('The catalogue of restore points here is damaged in both places: the restore points of this CoServer are lost.');
  const before = file.value;
  const { segments, found } = await openSegments(parts, before);
  const news = found.points.filter((p) => p.state === 'lost' && before.points.some((b) => b.id === p.id && b.state === 'kept'));
  if (news.length > 0) told(`Restore points ${news.map((p) => p.name).join(', ')} cannot be used any more: ${news.at(-1)?.trouble}.`);
  if (found.points.length > 0 || before.points.length > 0) await file.change(() => found);
  const points = new PointStore({
    below,
    catalogue: file,
    place: placeOf(parts),
    segments: new Map([...segments].map(([id, { segment }]) => [id, segment])),
    told,
    ...(parts.saveWithinMs === undefined ? {} : { saveWithinMs: parts.saveWithinMs }),
    ...(parts.closeWithinMs === undefined ? {} : { closeWithinMs: parts.closeWithinMs }),
  });
  for (const [id, { damaged: grains }] of segments)
    for (const grain of grains) await points.spoilt(id, grain, `what was kept of 64 KiB at ${grain * GRAIN_BYTES} is damaged`);
  await points.settle();
  // Left over by a crash between the making of a file and its entry, or between a point's end and its file's.
  for (const id of await folder.list()) if (points.keptBytes(id) === 0) await folder.remove(id);
  return points;
}

type Opened = Map<string, { segment: Segment; damaged: number[] }>;

async function openSegments(parts: OpenPointsParts, catalogue: Catalogue): Promise<{ segments: Opened; found: Catalogue }> {
  const { below, disk } = parts;
  const segments: Opened = new Map();
  // What was not durably cut is no point; older ones may need what it keeps.
  let points: PointEntry[] = catalogue.points.map((p) => (p.state === 'cutting' ? { ...p, state: 'removed' } : p));
  const lose = (trouble: string, upTo: number): void => {
    points = points.map((p, i) => (i <= upTo && p.state === 'kept' ? { ...p, state: 'lost', trouble: p.trouble || trouble } : p));
  };
  let other = '';
  if (catalogue.sizeBytes !== below.sizeBytes) other = `the disk had ${catalogue.sizeBytes} bytes then, now it has ${below.sizeBytes}`;
  else if (catalogue.disk !== disk) other = 'it is of another disk: this one was replaced';
  if (other !== '') {
    lose(other, points.length);
    return { segments, found: { disk, sizeBytes: below.sizeBytes, points: points.filter((p) => p.state === 'lost'), rollingBack: null } };
  }
  const live = (grain: number): Promise<Buffer> =>
    below.read(grain * GRAIN_BYTES, Math.min(GRAIN_BYTES, below.sizeBytes - grain * GRAIN_BYTES));
  for (const [i, p] of catalogue.points.entries()) {
    if (p.state === 'lost') continue;
    const { opened, trouble } = await openSegment(parts, p, live);
    if (opened) segments.set(p.id, opened);
    else lose(trouble, i);
  }
  return { segments, found: { ...catalogue, points: points.filter((p) => p.state !== 'removed' || segments.has(p.id)) } };
}

async function openSegment(
  { folder, below, maximumBytes }: OpenPointsParts,
  p: PointEntry,
  live: (grain: number) => Promise<Buffer>,
): Promise<{ opened: { segment: Segment; damaged: number[] } | null; trouble: string }> {
  let store: BlockStore | null = null;
  try {
    // What an earlier life writes late would be in the middle of what is kept from now on.
    mustBeDrained(p.id);
    store = await folder.open(p.id, segmentBytes(below.sizeBytes, maximumBytes || below.sizeBytes));
    if (!store) return { opened: null, trouble: `the file of '${p.name}' is missing` };
    const opened = await Segment.open(store, p.id, below.sizeBytes, p.batches, live);
    if (opened.trouble === '') return { opened, trouble: '' };
    await store.close();
    return { opened: null, trouble: opened.trouble };
  } catch (e) {
    await store?.close().catch(() => undefined);
    return { opened: null, trouble: (e as Error).message };
  }
}

function placeOf(parts: OpenPointsParts): PointPlace {
  const { folder, below } = parts;
  const maximumBytes = parts.maximumBytes || below.sizeBytes;
  const sizeBytes = segmentBytes(below.sizeBytes, maximumBytes);
  let freeBytes = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return {
    refusal: folder.refusal,
    create: async (id) => {
      const store = await folder.create(id, sizeBytes);
      try {
        return await Segment.create(store, id, below.sizeBytes);
      } catch (e) {
        await store.close();
        await folder.remove(id);
        throw e;
      }
    },
    remove: (id) => folder.remove(id),
    room: async (usedBytes) => {
      if (Math.abs(usedBytes - lookedAt) >= LOOK_EVERY_BYTES || freeBytes < 2 * LOOK_EVERY_BYTES) {
        freeBytes = (await folder.freeBytes()) - parts.reserveBytes;
        lookedAt = usedBytes;
      }
      return Math.min(maximumBytes - usedBytes, freeBytes - Math.max(0, usedBytes - lookedAt));
    },
  };
}
