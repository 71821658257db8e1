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
import { randomBytes } from 'node:crypto';
import { type BlockStore, type SpaceStore, StoreError, type StoreExtent, type ZeroOptions } from '../../../drivers/block/index.ts';
import { writeWithSums } from '../block-sums.ts';
import { isBadRead } from '../checked-store.ts';
import { BeforeImages } from './before-images.ts';
import type { CatalogueFile } from './catalogue.ts';
import type { Catalogue, PointEntry, PointKind } from './catalogue-codec.ts';
import { PointChain } from './point-chain.ts';
import type { Segment } from './segment.ts';
import { BATCH_GRAINS, GRAIN_BYTES } from './segment-codec.ts';

/** Entries that are no points any more included; a scheduled point an hour for a week. More would not fit into the catalogue. */
const POINTS_MOST = 200;
/** Zeroes are done in steps: what a step covers is read and kept first. */
const ZERO_STEP_BYTES = BATCH_GRAINS * GRAIN_BYTES;

export interface PointPlace {
  create(id: string): Promise<Segment>;
  remove(id: string): Promise<void>;
  /** Bytes that may still be written there, beyond what is in use. */
  room(usedBytes: number): Promise<number>;
  /** Why no point can be kept here; empty: they can. */
  refusal: string;
}

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
}

export class PointStore implements SpaceStore {
  readonly sizeBytes: number;
  /** Set: what the disk has lost can be had elsewhere. Must not wait for a lock: a write that holds one waits for it. */
  recall: ((offset: number, length: number) => Promise<Buffer>) | undefined;
  readonly #parts: PointStoreParts;
  readonly #below: BlockStore | SpaceStore;
  readonly #chain: PointChain;
  readonly #images: BeforeImages;
  /** Changes under way, from before their before-image is kept. */
  #changes = 0;
  #idle: (() => void) | undefined;
  /** Set while a cut waits for the changes under way: new ones wait for its end. */
  #gate: Promise<void> | undefined;
  readonly #inUse = new Map<string, number>();
  /** Given up before they were kept. */
  readonly #givenUp = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: PointStoreParts) {
    this.#parts = parts;
    this.#below = parts.below;
    this.sizeBytes = parts.below.sizeBytes;
    const chain = new PointChain(() => parts.catalogue.value, parts.segments, parts.unavailable);
    this.#chain = chain;
    this.#images = new BeforeImages({
      chain,
      sizeBytes: this.sizeBytes,
      place: parts.place,
      readBelow: (offset, length) => this.readBelow(offset, length),
      makeRoom: (bytes) => this.#makeRoom(bytes, null),
      makeTail: () => this.#makeTail(),
      giveUp: (reason) => this.#giveUp(reason),
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
    await this.#turn;
    await Promise.allSettled([this.#chain.close(), this.#parts.catalogue.close()]);
    await this.#below.close();
  }

  // The points.

  get catalogue(): Catalogue {
    return this.#parts.catalogue.value;
  }

  /** What operators see: neither being cut nor removed. Oldest first. */
  get points(): PointEntry[] {
    return this.catalogue.points.filter((p) => p.state === 'kept' || p.state === 'lost');
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
    return (this.#inUse.get(id) ?? 0) > 0;
  }

  /** The answer ends the use. */
  use(id: string): () => void {
    this.#inUse.set(id, (this.#inUse.get(id) ?? 0) + 1);
    let over = false;
    return () => {
      if (!over) this.#inUse.set(id, (this.#inUse.get(id) ?? 1) - 1);
      over = true;
    };
  }

  /** The point's file is there, and the catalogue knows of it; nothing is cut yet. Rejects with the operator's reason. */
  begin(point: NewPoint): Promise<void> {
    return this.#inTurn(async () => {
      const { catalogue, place } = this.#parts;
      if (place.refusal !== '') throw new Error(place.refusal);
      const { points } = catalogue.value;
      if (points.some((p) => p.name === point.name && p.state !== 'removed'))
        throw new Error(`there is a restore point '${point.name}' already: choose another name, or remove it first`);
      if (points.length >= POINTS_MOST) throw new Error(`there are ${POINTS_MOST} restore points already: remove some first`);
      if ((await place.room(this.usedBytes)) <= 0) await this.#makeRoom(1, point.name);
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
    if (!segment || !this.#isCutting(id)) throw new Error('this restore point was given up');
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
      if (!this.#isCutting(id)) throw new Error('this restore point was given up');
    }
    this.#chain.follow(segment);
  }

  /** Everything written before the cut becomes durable, then the point. */
  keep(id: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.flush();
      await this.#parts.catalogue.change((c) => {
        const at = c.points.findIndex((p) => p.id === id && p.state === 'cutting');
        if (at < 0 || this.#givenUp.has(id)) throw new Error('this restore point was given up');
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
    return this.#inTurn(async () => {
      const { name } = this.#entry(id);
      if (this.isInUse(id)) throw new Error(`the restore point '${name}' is being read: end that first`);
      if (this.catalogue.rollingBack?.id === id) throw new Error(`the disk is being rolled back to '${name}'`);
      // One change: an entry that is 'removed' has its file.
      if (this.hasFile(id)) await this.#change1(id, (p) => ({ ...p, state: 'removed', trouble: '' }));
      else await this.#parts.catalogue.change((c) => ({ ...c, points: c.points.filter((p) => p.id !== id) }));
      await this.#tidy();
    });
  }

  /** One that was begun and is not kept; of any other nothing changes. */
  dropCutting(id: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.catalogue.points.some((p) => p.id === id && p.state === 'cutting')) return;
      this.#givenUp.add(id);
      await this.#change1(id, (p) => ({ ...p, state: 'removed' }));
      await this.#tidy();
    });
  }

  /** At the start: what an earlier life left over goes. */
  settle(): Promise<void> {
    return this.#inTurn(() => this.#tidy());
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

  /**
   * A file behind the one that is not available. Nothing was overwritten since that one was in use, so older points read on from
   * here: its entry is that of a point that was removed.
   */
  async #makeTail(): Promise<void> {
    const { catalogue, place } = this.#parts;
    if (place.refusal !== '') throw new Error(place.refusal);
    if (catalogue.value.points.length >= POINTS_MOST) throw new Error(`there are ${POINTS_MOST} restore points already`);
    const id = randomBytes(8).toString('hex');
    const segment = await place.create(id);
    const entry: PointEntry = {
      id,
      name: 'continued',
      kind: 'operator',
      takenAt: 0,
      state: 'removed',
      trouble: '',
      batches: null,
      fileBytes: segment.sizeBytes,
    };
    try {
      await catalogue.change((c) => {
        if (!this.#chain.lacksTail) throw new Error('the restore points were given up meanwhile');
        // One that is begun is cut later, if at all.
        const cutting = c.points.findIndex((p) => p.state === 'cutting');
        return { ...c, points: c.points.toSpliced(cutting < 0 ? c.points.length : cutting, 0, entry) };
      });
      if (!this.#chain.lacksTail) throw new Error('the restore points were given up meanwhile');
    } catch (e) {
      await segment.close();
      await place.remove(id);
      throw e;
    }
    this.#chain.add(segment);
    this.#chain.follow(segment);
  }

  /** Oldest first; scheduled ones before those that somebody asked for; the newest only when it is the last. By name, and durably. */
  async #makeRoom(bytes: number, forWhom: string | null): Promise<void> {
    const { place } = this.#parts;
    for (;;) {
      if ((await place.room(this.usedBytes)) >= bytes) return;
      const kept = this.points.filter((p) => p.state === 'kept');
      const isFree = (p: PointEntry): boolean => !this.isInUse(p.id) && p.id !== this.catalogue.rollingBack?.id;
      const [oldest, ...others] = kept;
      const scheduled = (forWhom === null ? kept.slice(0, -1) : kept).find((p) => p.kind === 'scheduled' && isFree(p));
      // A new point is not worth one that somebody asked for. One in the middle would free next to nothing.
      const isWorth = forWhom === null && others.length > 0;
      const victim = scheduled ?? (isWorth && oldest && isFree(oldest) ? oldest : undefined);
      if (!victim) return;
      this.#parts.told(`The restore point '${victim.name}' was dropped: there was no room for what newer ones keep.`);
      await this.#change1(victim.id, (p) =>
        victim.kind === 'scheduled'
          ? { ...p, state: 'removed', trouble: '' }
          : { ...p, state: 'lost', trouble: 'dropped: there was no room for what newer ones keep' },
      );
      await this.#tidy();
    }
  }

  /** Nothing more can be kept: whatever reads the live disk where it is overwritten from now on is no restore point any more. */
  async #giveUp(reason: string): Promise<void> {
    const names = this.points.filter((p) => p.state === 'kept').map((p) => p.name);
    for (const p of this.catalogue.points) if (p.state === 'cutting') this.#givenUp.add(p.id);
    this.#chain.end();
    if (names.length > 0)
      this.#parts.told(`Restore points ${names.join(', ')} were given up: ${reason}. The guest's disk is not affected.`);
    await this.#parts.catalogue
      .change((c) => ({
        ...c,
        points: c.points.map((p) => {
          if (p.state === 'kept') return { ...p, state: 'lost', trouble: p.trouble || reason };
          return p.state === 'cutting' ? { ...p, state: 'removed' } : p;
        }),
      }))
      // Then this copy's own metadata is about to fail as well, and with it the copy.
      .catch((e: Error) => this.#parts.told(`That restore points were given up could not be recorded: ${e.message}`));
    // Their files may hang: nobody waits for that.
    void this.#inTurn(() => this.#tidy()).catch(() => undefined);
  }

  // Housekeeping, one at a time.

  /** Files and entries that nobody needs any more are removed: those in front of the oldest point, and images that an older one covers. */
  async #tidy(): Promise<void> {
    const { catalogue, place } = this.#parts;
    const { points } = catalogue.value;
    const isPoint = (p: PointEntry): boolean => p.state === 'kept' || p.state === 'cutting';
    const first = points.findIndex(isPoint);
    const isBehind = (i: number): boolean => first < 0 || i < first;
    const gone = points.filter((p, i) => (p.state === 'removed' || p.state === 'lost') && isBehind(i) && this.hasFile(p.id));
    // The catalogue last: a file that is left over is removed at the next start, an entry without its file would be a lost point.
    for (const p of gone) this.#chain.drop(p.id);
    if (points.some((p, i) => p.state === 'removed' && isBehind(i)))
      await catalogue.change((c) => ({ ...c, points: c.points.filter((p) => p.state !== 'removed' || this.hasFile(p.id)) }));
    for (const p of gone)
      await place.remove(p.id).catch((e: Error) => this.#parts.told(`A file of restore points is left over: ${e.message}`));
    await this.#chain.releaseCovered();
  }

  #isCutting(id: string): boolean {
    return !this.#givenUp.has(id) && this.catalogue.points.some((p) => p.id === id && p.state === 'cutting');
  }

  #entry(id: string): PointEntry {
    const entry = this.catalogue.points.find((p) => p.id === id && p.state !== 'removed');
    if (!entry) throw new Error('there is no such restore point here');
    return entry;
  }

  #change1(id: string, next: (p: PointEntry) => PointEntry): Promise<void> {
    return this.#parts.catalogue.change((c) => ({ ...c, points: c.points.map((p) => (p.id === id ? next(p) : p)) }));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the disk is closed'));
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => undefined);
    return run;
  }
}
