// Restore points as a start finds them: which files there are, which points can still be trusted.
//
//  opened       its file is as it was left, a torn last batch mended
//  unavailable  its file cannot be opened or read now, or is not there (a folder that is not mounted): kept, looked for at the next start
//  invalid      what is there is provably not what was kept: lost, by name
//
// Newest first: a point reads its own file and all newer ones, and so does the mending of a file that others follow already.
import { type BlockStore, StoreError } from '../../../drivers/block/index.ts';
import { mustBeDrained } from '../stuck-requests.ts';
import { CatalogueFile } from './catalogue.ts';
import type { Catalogue, PointEntry } from './catalogue-codec.ts';
import type { PointFolder } from './point-folder.ts';
import { PointStore } from './point-store.ts';
import type { PointPlace } from './point-upkeep.ts';
import { Segment } from './segment.ts';
import { GRAIN_BYTES, segmentBytes } from './segment-codec.ts';
import { within } from './within.ts';

/** How much room there is, is asked once per so much that was written: a look at the file system costs more than a comparison. */
const LOOK_EVERY_BYTES = 64 * 1024 * 1024;
/** Of one request at a start: the guest waits for it. Most disks that come back do so within this. */
const ANSWER_WITHIN_MS = 5_000;

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
  /** Of one request to a file of before-images at the start. */
  answerWithinMs?: number;
}

/** Nothing may write to the disk before it ends, and it must be known that it is the right one: points of another disk are ended here. */
export async function openPoints(parts: OpenPointsParts): Promise<PointStore> {
  const { below, told, disk } = parts;
  const fresh: Catalogue = { disk, sizeBytes: below.sizeBytes, points: [], rollingBack: null };
  const { file, damaged } = await CatalogueFile.open(parts.catalogue, fresh);
  if (damaged) told('The catalogue of restore points here is damaged in both places: the restore points of this CoServer are lost.');
  const before = file.value;
  const { segments, unavailable, found } = await openSegments(parts, before);
  const isNews = (p: PointEntry): boolean => p.state === 'lost' && before.points.some((b) => b.id === p.id && b.state === 'kept');
  for (const [reason, names] of byReason(found.points.filter(isNews), (p) => p.trouble))
    told(`Restore points ${names} cannot be used any more: ${reason}.`);
  if (found.points.length > 0 || before.points.length > 0) await file.change(() => found);
  const points = new PointStore({
    below,
    catalogue: file,
    place: placeOf(parts),
    segments: new Map([...segments].map(([id, { segment }]) => [id, segment])),
    unavailable,
    told,
    ...(parts.saveWithinMs === undefined ? {} : { saveWithinMs: parts.saveWithinMs }),
    ...(parts.closeWithinMs === undefined ? {} : { closeWithinMs: parts.closeWithinMs }),
  });
  for (const [id, { damaged: grains }] of segments)
    for (const grain of grains) await points.spoilt(id, grain, `what was kept of 64 KiB at ${grain * GRAIN_BYTES} is damaged`);
  await points.settle();
  const waiting = points.points.filter((p) => p.state === 'kept' && points.whyUnavailable(p.id) !== '');
  for (const [reason, names] of byReason(waiting, (p) => points.whyUnavailable(p.id)))
    told(`Restore points ${names} are not available: ${reason}. They are kept, and looked for again when this disk is opened next.`);
  await removeLeftOver(parts, points, before.points.length === 0 && !damaged);
  return points;
}

/** Left over by a crash between the making of a file and its entry, or between a point's end and its file's; or the catalogue was removed. */
async function removeLeftOver({ folder, told }: OpenPointsParts, points: PointStore, isBlank: boolean): Promise<void> {
  const needed = new Set(points.catalogue.points.filter((p) => p.state !== 'lost' || points.hasFile(p.id)).map((p) => p.id));
  const left = (await folder.list()).filter((id) => !needed.has(id));
  // One is what a crash leaves over.
  if (isBlank && left.length > 1)
    told(
      `${left.length} files of restore points that nothing is recorded of any more were removed: the record or the disk is another one.`,
    );
  for (const id of left) await folder.remove(id);
}

function byReason(points: readonly PointEntry[], reasonOf: (p: PointEntry) => string): Map<string, string> {
  const names = new Map<string, string>();
  for (const p of points) {
    const others = names.get(reasonOf(p));
    names.set(reasonOf(p), others === undefined ? p.name : `${others}, ${p.name}`);
  }
  return names;
}

interface Opened {
  segment: Segment;
  damaged: number[];
}

interface Found {
  segments: Map<string, Opened>;
  /** By id, and why. */
  unavailable: Map<string, string>;
  found: Catalogue;
}

async function openSegments(parts: OpenPointsParts, catalogue: Catalogue): Promise<Found> {
  const { below, disk } = parts;
  const segments = new Map<string, Opened>();
  const unavailable = new Map<string, string>();
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
    const lost = points.filter((p) => p.state === 'lost');
    return { segments, unavailable, found: { disk, sizeBytes: below.sizeBytes, points: lost, rollingBack: null } };
  }
  const newer: Segment[] = [];
  /** What a grain held when the file that is being opened was left: nobody has written to the disk since the start. */
  const then = (grain: number): Promise<Buffer> => {
    const kept = newer.find((s) => s.has(grain));
    return kept ? kept.read(grain) : below.read(grain * GRAIN_BYTES, Math.min(GRAIN_BYTES, below.sizeBytes - grain * GRAIN_BYTES));
  };
  for (let i = points.length - 1; i >= 0; i--) {
    const p = points[i];
    if (!p || p.state === 'lost') continue;
    const [missing] = unavailable.values();
    const opening: Opening =
      p.batches === null && missing !== undefined ? { kind: 'unavailable', reason: missing } : await openSegment(parts, p, then);
    if (opening.kind === 'invalid') {
      lose(opening.reason, i);
      break;
    }
    if (opening.kind === 'unavailable') unavailable.set(p.id, opening.reason);
    if (opening.kind !== 'opened') continue;
    segments.set(p.id, opening.opened);
    // Nothing goes there any more.
    if (newer.length > 0 && p.batches === null) points[i] = { ...p, batches: opening.opened.segment.batches };
    newer.unshift(opening.opened.segment);
  }
  const isThere = (p: PointEntry): boolean => segments.has(p.id) || unavailable.has(p.id);
  return { segments, unavailable, found: { ...catalogue, points: points.filter((p) => p.state !== 'removed' || isThere(p)) } };
}

type Opening = { kind: 'opened'; opened: Opened } | { kind: 'unavailable'; reason: string } | { kind: 'invalid'; reason: string };

async function openSegment(
  { folder, below, maximumBytes, answerWithinMs = ANSWER_WITHIN_MS }: OpenPointsParts,
  p: PointEntry,
  then: (grain: number) => Promise<Buffer>,
): Promise<Opening> {
  let store: BlockStore | null = null;
  const file = `the file of '${p.name}' (${p.id})`;
  try {
    // What an earlier life writes late would be in the middle of what is kept from now on.
    mustBeDrained(p.id);
    const opening = folder.open(p.id, p.fileBytes ?? segmentBytes(below.sizeBytes, maximumBytes || below.sizeBytes));
    store = await within(answerWithinMs, opening, 'it did not answer').catch((e: Error) => {
      // Whoever is late is closed.
      opening.then((late) => late?.close()).catch(() => undefined);
      throw e;
    });
    if (!store) return { kind: 'unavailable', reason: folder.refusal || `${file} is missing` };
    const { trouble, ...opened } = await Segment.open(patient(store, answerWithinMs), p.id, below.sizeBytes, p.batches, then);
    if (trouble === '') return { kind: 'opened', opened };
    await store.close();
    return { kind: 'invalid', reason: trouble };
  } catch (e) {
    // One that hangs is not waited for.
    store?.close().catch(() => undefined);
    const isCutOff = e instanceof StoreError && e.kind === 'setup' && e.code === 'EINVAL';
    if (isCutOff) return { kind: 'invalid', reason: `its file is cut off: ${e.message}` };
    return { kind: 'unavailable', reason: `${file} cannot be read: ${(e as Error).message}` };
  }
}

/** What does not answer must not keep the guest from its disk. */
function patient(store: BlockStore, answerWithinMs: number): BlockStore {
  return {
    sizeBytes: store.sizeBytes,
    read: (offset, length) => within(answerWithinMs, store.read(offset, length), 'it did not answer'),
    write: (offset, ...parts) => store.write(offset, ...parts),
    zero: (offset, length, options) => store.zero(offset, length, options),
    flush: () => store.flush(),
    close: () => store.close(),
  };
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
