// The guest's disk with its restore points: before the first write to a grain since the last point, what stood there is kept.
//
//   point 1 ....... point 2 ....... point 3 ....... now
//     | segment 1     | segment 2     | segment 3     |        a segment: the first content, since its point, of what was written
//
// Point k, at a grain: the oldest segment from k on that has it; else the live disk. So the newest segment serves every point, and
// none can go on without it. An overwrite waits until the old content is durable; those that wait share a flush. With no point there
// is nothing but one comparison. What a restore point costs is never the guest's fault: where it cannot be kept (no room, its place
// failed or hangs) points are given up, by name and durably, and the write goes on.
import { type BlockStore, type SpaceStore, StoreError, type StoreExtent, type ZeroOptions } from '../../../drivers/block/index.ts';
import { writeWithSums } from '../block-sums.ts';
import { isBadRead } from '../checked-store.ts';
import { CLOSE_WITHIN_MS, endsWithin, giveUpWaiting } from '../stuck-requests.ts';
import type { CatalogueFile } from './catalogue.ts';
import type { Catalogue, PointEntry, PointKind } from './catalogue-codec.ts';
import type { Image, Segment } from './segment.ts';
import { BATCH_GRAINS, GRAIN_BYTES } from './segment-codec.ts';

/** A write waits no longer for its before-image; then the points are given up. Most disks that come back do so within this. */
const SAVE_WITHIN_MS = 5_000;
/** Entries that are no points any more included; a scheduled point an hour for a week. More would not fit into the catalogue. */
const POINTS_MOST = 200;
/** What hangs there is counted by this name; a segment's by its id. */
const POINTS_PLACE = 'restore points';
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
  readonly #segments: Map<string, Segment>;
  /** Where before-images go; undefined: there is no point. */
  #active: Segment | undefined;
  /** Segments from the oldest to the active one. */
  #chain: Segment[] = [];
  /** Changes under way, from before their before-image is kept. */
  #changes = 0;
  #idle: (() => void) | undefined;
  /** Set while a cut waits for the changes under way: new ones wait for its end. */
  #gate: Promise<void> | undefined;
  /** By grain: those whose before-image is on its way. */
  readonly #waiting = new Map<number, { promise: Promise<void>; resolve: () => void }>();
  #saving = false;
  readonly #inUse = new Map<string, number>();
  /** Given up before they were kept. */
  readonly #givenUp = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: PointStoreParts) {
    this.#parts = parts;
    this.#below = parts.below;
    this.#segments = parts.segments;
    this.sizeBytes = parts.below.sizeBytes;
    this.#chainAnew();
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
      const step = this.#active || this.#gate ? Math.min(ZERO_STEP_BYTES, offset + length - at) : offset + length - at;
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
    const housekeeping = this.#turn;
    await endsWithin(POINTS_PLACE, housekeeping, closeWithinMs);
    await Promise.all([...this.#segments.values()].map((s) => endsWithin(s.id, s.close(), closeWithinMs)));
    await catalogue.close().catch(() => undefined);
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
    return this.#segments.get(id)?.bytes ?? 0;
  }

  get refusal(): string {
    return this.#parts.place.refusal;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const s of this.#segments.values()) bytes += s.bytes;
    return bytes;
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
      try {
        await catalogue.change((c) => ({ ...c, points: [...c.points, { ...point, state: 'cutting', trouble: '', batches: null }] }));
      } catch (e) {
        await segment.close();
        throw e;
      }
      this.#segments.set(point.id, segment);
    });
  }

  /**
   * From here on before-images go to the new point. Waits for the changes under way, with new ones held; rejects when that takes
   * longer than `withinMs`. The point counts only after `keep`.
   */
  async cut(id: string, withinMs: number): Promise<void> {
    const segment = this.#segments.get(id);
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
    this.#active = segment;
    this.#chain = [...this.#chain, segment];
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
            return i < at && p.batches === null ? { ...p, batches: this.#segments.get(p.id)?.batches ?? null } : p;
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
      if (this.#segments.has(id)) await this.#change1(id, (p) => ({ ...p, state: 'removed', trouble: '' }));
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
    const entry = this.#entry(id);
    const segment = this.#segments.get(id);
    if (entry.trouble !== '') throw new Error(`the restore point '${entry.name}' cannot be used: ${entry.trouble}`);
    if (entry.state !== 'kept' || !segment || !this.#chain.includes(segment))
      throw new Error(`the restore point '${entry.name}' is not there any more`);
    return this.#chain.slice(this.#chain.indexOf(segment));
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
    const ids = new Set<string>();
    for (const [i, s] of this.#chain.entries()) {
      const source = this.#chain.slice(i).find((other) => other.has(grain));
      if (source?.id === segmentId) ids.add(s.id);
    }
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
    if (!this.#active && !this.#gate) {
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
        const saves = this.#saves(offset, length);
        if (saves) await Promise.all(saves);
        await change();
      })(),
    );
  }

  async #counted(change: Promise<void>): Promise<void> {
    try {
      await change;
    } finally {
      this.#changes--;
      if (this.#changes === 0) this.#idle?.();
    }
  }

  #saves(offset: number, length: number): Promise<void>[] | undefined {
    const active = this.#active;
    // What is outside of the disk is refused below, with a better reason.
    if (!active || length <= 0 || offset < 0 || offset + length > this.sizeBytes) return undefined;
    let saves: Promise<void>[] | undefined;
    const last = Math.floor((offset + length - 1) / GRAIN_BYTES);
    for (let grain = Math.floor(offset / GRAIN_BYTES); grain <= last; grain++) {
      if (active.has(grain)) continue;
      let waiting = this.#waiting.get(grain);
      if (!waiting) {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting = { promise, resolve };
        this.#waiting.set(grain, waiting);
      }
      saves ??= [];
      saves.push(waiting.promise);
    }
    if (saves && !this.#saving) void this.#save();
    return saves;
  }

  /** Never rejects: without its before-image a write goes on, and the points are given up. */
  async #save(): Promise<void> {
    this.#saving = true;
    // What is asked for in the same turn shares the flush.
    await undefined;
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.entries()].slice(0, BATCH_GRAINS);
      const segment = this.#active;
      if (segment) {
        const reason = await this.#saveBatch(
          segment,
          batch.map(([grain]) => grain),
        );
        if (reason !== null) await this.#giveUp(reason);
      }
      for (const [grain, { resolve }] of batch) {
        this.#waiting.delete(grain);
        resolve();
      }
    }
    this.#saving = false;
  }

  /** Null: durable. Else why not. */
  async #saveBatch(segment: Segment, grains: number[]): Promise<string | null> {
    const { place, saveWithinMs = SAVE_WITHIN_MS } = this.#parts;
    let timer: NodeJS.Timeout | undefined;
    const save = async (images: Image[]): Promise<string | null> => {
      const bytes = images.length * GRAIN_BYTES;
      if ((await place.room(this.usedBytes)) < bytes) await this.#makeRoom(bytes, null);
      if (segment !== this.#active) return null;
      if ((await place.room(this.usedBytes)) < bytes || !segment.hasRoomFor(bytes)) return 'there was no room for what was overwritten';
      await segment.append(images);
      return null;
    };
    try {
      // A disk that hangs holds the write as well: that is not the fault of the restore points.
      const images = await Promise.all(grains.map((c) => this.#image(c)));
      const { promise: tooLate, resolve } = Promise.withResolvers<string>();
      const saved = save(images);
      timer = setTimeout(() => {
        giveUpWaiting(segment.id, saved);
        resolve(`what was overwritten could not be kept within ${saveWithinMs / 1000} s`);
      }, saveWithinMs);
      return await Promise.race([saved, tooLate]);
    } catch (e) {
      return `what was overwritten could not be kept: ${(e as Error).message}`;
    } finally {
      clearTimeout(timer);
    }
  }

  async #image(grain: number): Promise<Image> {
    const offset = grain * GRAIN_BYTES;
    try {
      return { grain, data: await this.readBelow(offset, Math.min(GRAIN_BYTES, this.sizeBytes - offset)) };
    } catch (e) {
      if (!(e instanceof StoreError)) throw e;
      return { grain, data: null };
    }
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
    this.#active = undefined;
    this.#chain = [];
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
    const gone = points.filter(
      (p, i) => (p.state === 'removed' || p.state === 'lost') && (first < 0 || i < first) && this.#segments.has(p.id),
    );
    // The catalogue last: a file that is left over is removed at the next start, an entry without its file would be a lost point.
    for (const p of gone) {
      const segment = this.#segments.get(p.id);
      this.#segments.delete(p.id);
      this.#chain = this.#chain.filter((s) => s !== segment);
      if (segment === this.#active) this.#active = undefined;
      // One that hangs is not waited for.
      if (segment) void endsWithin(segment.id, segment.close(), this.#parts.closeWithinMs);
    }
    if (points.some((p, i) => p.state === 'removed' && (first < 0 || i < first)))
      await catalogue.change((c) => ({ ...c, points: c.points.filter((p) => p.state !== 'removed' || this.#segments.has(p.id)) }));
    for (const p of gone)
      await place.remove(p.id).catch((e: Error) => this.#parts.told(`A file of restore points is left over: ${e.message}`));
    await this.#releaseCovered();
  }

  async #releaseCovered(): Promise<void> {
    const state = (s: Segment): string | undefined => this.catalogue.points.find((p) => p.id === s.id)?.state;
    for (const [i, s] of this.#chain.entries()) {
      if (s === this.#active || state(s) !== 'removed') continue;
      // Points before this one read from the last of them on; whatever stands in there hides what is here.
      const from = this.#chain.slice(0, i).findLastIndex((other) => state(other) !== 'removed');
      const older = this.#chain.slice(Math.max(0, from), i);
      for (const grain of [...s.grains()]) if (older.some((o) => o.has(grain))) await s.forget(grain);
    }
  }

  #chainAnew(): void {
    const chain: Segment[] = [];
    for (const p of this.catalogue.points) {
      const segment = this.#segments.get(p.id);
      if (segment) chain.push(segment);
    }
    this.#chain = chain;
    this.#active = chain.at(-1);
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
