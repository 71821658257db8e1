// The guest's disk with its restore points: before the first write to a grain since the last point, what stood there is kept.
//
//   point 1 ....... point 2 ....... point 3 ....... now
//     | segment 1     | segment 2     | segment 3     |        a segment: the first content, since its point, of what was written
//
// Point k, at a grain: the oldest segment from k on that has it; else the live disk. So the newest segment serves every point, and
// none can go on without it. An overwrite waits until the old content is durable; those that wait share a flush. With no point there
// is nothing but one comparison. What a restore point costs is never the guest's fault: where it cannot be kept (no room, its place
// failed or hangs) points are given up, by name and durably, and the write goes on. A file that a start could not open is no such
// case: its points wait for it, and what is overwritten meanwhile is kept in a file that follows it.
import { type BlockStore, type SpaceStore, StoreError, type StoreExtent, type ZeroOptions } from '../../../drivers/block/index.ts';
import { writeWithSums } from '../block-sums.ts';
import { isBadRead } from '../checked-store.ts';
import { CLOSE_WITHIN_MS, endsWithin } from '../stuck-requests.ts';
import { BeforeImages } from './before-images.ts';
import type { CatalogueFile } from './catalogue.ts';
import type { Catalogue, PointEntry, PointKind } from './catalogue-codec.ts';
import { PointChain } from './point-chain.ts';
import { POINTS_MOST, type PointPlace, PointUpkeep } from './point-upkeep.ts';
import type { Segment } from './segment.ts';
import { BATCH_GRAINS, GRAIN_BYTES } from './segment-codec.ts';

/** What hangs there is counted by this name; a segment's by its id. */
const POINTS_PLACE = 'restore points';
/** Zeroes are done in steps: what a step covers is read and kept first. */
const ZERO_STEP_BYTES = BATCH_GRAINS * GRAIN_BYTES;

export interface NewPoint {
  id: string;
  name: string;
  kind: PointKind;
  takenAt: number;
}

export interface PointStoreParts {
  below: BlockStore | SpaceStore;
  catalogue: CatalogueFile;
  place: PointPlace;
  /** By id: those that could be opened. */
  segments: Map<string, Segment>;
  /** By id: the others, and why. What they hold may come back. */
  unavailable: Map<string, string>;
  /** What the operator should know. */
  told(text: string): void;
  saveWithinMs?: number;
  /** The files of the points are given up when their closing takes longer. */
  closeWithinMs?: number;
}

export class PointStore implements SpaceStore {
  readonly sizeBytes: number;
  /** Set: what the disk has lost can be had elsewhere. Must not wait for a lock: a write that holds one waits for it. */
  recall: ((offset: number, length: number) => Promise<Buffer>) | undefined;
  readonly #parts: PointStoreParts;
  readonly #below: BlockStore | SpaceStore;
  readonly #chain: PointChain;
  readonly #images: BeforeImages;
  readonly #upkeep: PointUpkeep;
  /** Changes under way, from before their before-image is kept. */
  #changes = 0;
  #idle: (() => void) | undefined;
  /** Set while a cut waits for the changes under way: new ones wait for its end. */
  #gate: Promise<void> | undefined;
  #closed = false;

  constructor(parts: PointStoreParts) {
    this.#parts = parts;
    this.#below = parts.below;
    this.sizeBytes = parts.below.sizeBytes;
    const chain = new PointChain(() => parts.catalogue.value, parts.segments, parts.unavailable);
    this.#chain = chain;
    const upkeep = new PointUpkeep(parts, chain);
    this.#upkeep = upkeep;
    this.#images = new BeforeImages({
      chain,
      sizeBytes: this.sizeBytes,
      place: parts.place,
      readBelow: (offset, length) => this.readBelow(offset, length),
      makeRoom: (bytes) => upkeep.makeRoom(bytes, null),
      makeTail: () => upkeep.makeTail(),
      giveUp: (reason) => upkeep.giveUp(reason),
      saveWithinMs: parts.saveWithinMs,
    });
  }

  // The disk.

  read(offset: number, length: number): Promise<Buffer> {
    return this.#below.read(offset, length);
  }

  write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    let length = 0;
    for (const p of parts) length += p.length;
    return this.#change(offset, length, () => this.#below.write(offset, ...parts));
  }

  /** As `write`, with the sums of the layer below. */
  writeChecked(offset: number, sums: Uint32Array, ...parts: Uint8Array[]): Promise<void> {
    let length = 0;
    for (const p of parts) length += p.length;
    return this.#change(offset, length, () => writeWithSums(this.#below, offset, sums, ...parts));
  }

  async zero(offset: number, length: number, options?: ZeroOptions): Promise<void> {
    for (let at = offset; at < offset + length; ) {
      const step = this.#chain.isKeeping || this.#gate ? Math.min(ZERO_STEP_BYTES, offset + length - at) : offset + length - at;
      await this.#change(at, step, () => this.#below.zero(at, step, options));
      at += step;
    }
  }

  /** Whoever is late must not flush, with a file that is another one by then, what is closed. */
  flush(): Promise<void> {
    if (this.#closed) return Promise.reject(new StoreError('range', 'flush', 0, 'the disk is closed', 'EBADF'));
    return this.#below.flush();
  }

  async extents(offset: number, length: number): Promise<StoreExtent[]> {
    if ('extents' in this.#below) return await this.#below.extents(offset, length);
    return [{ lengthBytes: length, hole: false, zero: false }];
  }

  async canRelease(): Promise<boolean> {
    return 'canRelease' in this.#below && (await this.#below.canRelease());
  }

  async close(): Promise<void> {
    this.#closed = true;
    const { catalogue, closeWithinMs = CLOSE_WITHIN_MS } = this.#parts;
    // Their place may hang: the guest's disk is closed all the same. What is opened again is not what hangs (open-points.ts).
    await endsWithin(POINTS_PLACE, this.#upkeep.close(), closeWithinMs);
    await this.#chain.close(closeWithinMs);
    await catalogue.close().catch(() => undefined);
    await this.#below.close();
  }

  // The points.

  get catalogue(): Catalogue {
    return this.#parts.catalogue.value;
  }

  /** What operators see: neither being cut nor removed. Oldest first. */
  get points(): PointEntry[] {
    return this.#upkeep.points;
  }

  keptBytes(id: string): number {
    return this.#chain.segment(id)?.bytes ?? 0;
  }

  hasFile(id: string): boolean {
    return this.#chain.hasFile(id);
  }

  /** Why a point cannot be read now; empty: it can. */
  whyUnavailable(id: string): string {
    return this.#chain.whyUnavailable(id);
  }

  get refusal(): string {
    return this.#parts.place.refusal;
  }

  get usedBytes(): number {
    return this.#chain.usedBytes;
  }

  isInUse(id: string): boolean {
    return this.#upkeep.isInUse(id);
  }

  /** The answer ends the use. */
  use(id: string): () => void {
    return this.#upkeep.use(id);
  }

  /** The point's file is there, and the catalogue knows of it; nothing is cut yet. Rejects with the operator's reason. */
  begin(point: NewPoint): Promise<void> {
    return this.#upkeep.inTurn(async () => {
      const { catalogue, place } = this.#parts;
      if (place.refusal !== '') throw new Error(place.refusal);
      const { points } = catalogue.value;
      if (points.some((p) => p.name === point.name && p.state !== 'removed'))
        throw new Error(`there is a restore point '${point.name}' already: choose another name, or remove it first`);
      if (points.length >= POINTS_MOST) throw new Error(`there are ${POINTS_MOST} restore points already: remove some first`);
      if ((await place.room(this.usedBytes)) <= 0) await this.#upkeep.makeRoom(1, point.name);
      if ((await place.room(this.usedBytes)) <= 0)
        throw new Error('there is no room for another restore point: remove some, or raise restorePoints.maximumMiB');
      const segment = await place.create(point.id);
      const entry: PointEntry = { ...point, state: 'cutting', trouble: '', batches: null, fileBytes: segment.sizeBytes };
      try {
        await catalogue.change((c) => ({ ...c, points: [...c.points, entry] }));
      } catch (e) {
        await segment.close();
        throw e;
      }
      this.#chain.add(segment);
    });
  }

  /**
   * From here on before-images go to the new point. Waits for the changes under way, with new ones held; rejects when that takes
   * longer than `withinMs`. The point counts only after `keep`.
   */
  async cut(id: string, withinMs: number): Promise<void> {
    const segment = this.#chain.segment(id);
    while (this.#gate) await this.#gate;
    if (!segment || !this.#upkeep.isCutting(id)) throw new Error('this restore point was given up');
    if (this.#changes > 0) {
      const gate = Promise.withResolvers<void>();
      this.#gate = gate.promise;
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const timer = setTimeout(() => resolve(false), withinMs);
      this.#idle = () => resolve(true);
      const isIdle = await promise;
      clearTimeout(timer);
      this.#idle = undefined;
      this.#gate = undefined;
      // They look at what is active in a later turn than this one.
      gate.resolve();
      if (!isIdle) throw new Error(`the writes under way did not end within ${withinMs} ms`);
      if (!this.#upkeep.isCutting(id)) throw new Error('this restore point was given up');
    }
    this.#chain.follow(segment);
  }

  /** Everything written before the cut becomes durable, then the point. */
  keep(id: string): Promise<void> {
    return this.#upkeep.inTurn(async () => {
      await this.flush();
      await this.#parts.catalogue.change((c) => {
        const at = c.points.findIndex((p) => p.id === id && p.state === 'cutting');
        if (at < 0 || this.#upkeep.isGivenUp(id)) throw new Error('this restore point was given up');
        return {
          ...c,
          points: c.points.map((p, i) => {
            if (i === at) return { ...p, state: 'kept' };
            return i < at && p.batches === null ? { ...p, batches: this.#chain.segment(p.id)?.batches ?? null } : p;
          }),
        };
      });
    });
  }

  /** Also one that was never cut or is lost. */
  remove(id: string): Promise<void> {
    return this.#upkeep.inTurn(async () => {
      const { name } = this.#entry(id);
      if (this.isInUse(id)) throw new Error(`the restore point '${name}' is being read: end that first`);
      if (this.catalogue.rollingBack?.id === id) throw new Error(`the disk is being rolled back to '${name}'`);
      // One change: an entry that is 'removed' has its file.
      if (this.hasFile(id)) await this.#upkeep.changeEntry(id, (p) => ({ ...p, state: 'removed', trouble: '' }));
      else await this.#parts.catalogue.change((c) => ({ ...c, points: c.points.filter((p) => p.id !== id) }));
      await this.#upkeep.tidy();
    });
  }

  /** One that was begun and is not kept; of any other nothing changes. */
  dropCutting(id: string): Promise<void> {
    return this.#upkeep.inTurn(async () => {
      if (!this.catalogue.points.some((p) => p.id === id && p.state === 'cutting')) return;
      this.#upkeep.noteGivenUp(id);
      await this.#upkeep.changeEntry(id, (p) => ({ ...p, state: 'removed' }));
      await this.#upkeep.tidy();
    });
  }

  /** At the start: what an earlier life left over goes. */
  settle(): Promise<void> {
    return this.#upkeep.inTurn(() => this.#upkeep.tidy());
  }

  /** Segments that a point reads from, oldest first. Rejects with the reason why it cannot be read. */
  chainOf(id: string): Segment[] {
    return this.#chain.from(this.#entry(id));
  }

  /** What this copy was given last, also where it has lost it, if it can be had. */
  async readBelow(offset: number, length: number): Promise<Buffer> {
    try {
      return await this.#below.read(offset, length);
    } catch (e) {
      if (!this.recall || !isBadRead(e)) throw e;
      return await this.recall(offset, length).catch(() => Promise.reject(e));
    }
  }

  /** A before-image is damaged: every point that reads it from there is in trouble from now on. */
  async spoilt(segmentId: string, grain: number, reason: string): Promise<void> {
    const ids = this.#chain.readersOf(segmentId, grain);
    const names = this.points.filter((p) => ids.has(p.id) && p.trouble === '').map((p) => p.name);
    if (names.length === 0) return;
    this.#parts.told(`Restore points ${names.join(', ')} cannot be used any more: ${reason}.`);
    await this.#parts.catalogue.change((c) => ({
      ...c,
      points: c.points.map((p) => (ids.has(p.id) && p.trouble === '' ? { ...p, trouble: reason } : p)),
    }));
  }

  setRollingBack(to: Catalogue['rollingBack']): Promise<void> {
    return this.#parts.catalogue.change((c) => ({ ...c, rollingBack: to }));
  }

  // Before-images.

  #change(offset: number, length: number, change: () => Promise<void>): Promise<void> {
    if (!this.#chain.isKeeping && !this.#gate) {
      this.#changes++;
      return this.#counted(change());
    }
    return this.#changeKept(offset, length, change);
  }

  async #changeKept(offset: number, length: number, change: () => Promise<void>): Promise<void> {
    while (this.#gate) await this.#gate;
    this.#changes++;
    await this.#counted(
      (async () => {
        const saves = this.#images.saves(offset, length);
        if (saves) await Promise.all(saves);
        await change();
      })(),
    );
  }

  #counted(change: Promise<void>): Promise<void> {
    change.then(this.#ended, this.#ended);
    return change;
  }

  readonly #ended = (): void => {
    this.#changes--;
    if (this.#changes === 0) this.#idle?.();
  };

  #entry(id: string): PointEntry {
    const entry = this.catalogue.points.find((p) => p.id === id && p.state !== 'removed');
    if (!entry) throw new Error('there is no such restore point here');
    return entry;
  }
}
