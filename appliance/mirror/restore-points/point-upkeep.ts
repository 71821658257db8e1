// The upkeep of the restore points, beside the writes: which of them go when there is no room, what happens when nothing more can be kept, and
// which files nobody needs any more. What changes the list of points is done here in turn; what a write waits for is not.
import { randomBytes } from 'node:crypto';
import type { CatalogueFile } from './catalogue.ts';
import type { Catalogue, PointEntry } from './catalogue-codec.ts';
import type { PointChain } from './point-chain.ts';
import type { Segment } from './segment.ts';

/** Entries that are no points any more included; a scheduled point an hour for a week. More would not fit into the catalogue. */
export const POINTS_MOST = 200;

export interface PointPlace {
  create(id: string): Promise<Segment>;
  remove(id: string): Promise<void>;
  /** Bytes that may still be written there, beyond what is in use. */
  room(usedBytes: number): Promise<number>;
  /** Why no point can be kept here; empty: they can. */
  refusal: string;
}

export interface PointUpkeepParts {
  catalogue: CatalogueFile;
  place: PointPlace;
  /** What the operator should know. */
  told(text: string): void;
}

export class PointUpkeep {
  readonly #parts: PointUpkeepParts;
  readonly #chain: PointChain;
  readonly #inUse = new Map<string, number>();
  /** Given up before they were kept. */
  readonly #givenUp = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: PointUpkeepParts, chain: PointChain) {
    this.#parts = parts;
    this.#chain = chain;
  }

  get #catalogue(): Catalogue {
    return this.#parts.catalogue.value;
  }

  /** What operators see: neither being cut nor removed. Oldest first. */
  get points(): PointEntry[] {
    return this.#catalogue.points.filter((p) => p.state === 'kept' || p.state === 'lost');
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

  /** One that was begun, and is still wanted. */
  isCutting(id: string): boolean {
    return !this.#givenUp.has(id) && this.#catalogue.points.some((p) => p.id === id && p.state === 'cutting');
  }

  isGivenUp(id: string): boolean {
    return this.#givenUp.has(id);
  }

  noteGivenUp(id: string): void {
    this.#givenUp.add(id);
  }

  /** One after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the disk is closed'));
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => undefined);
    return run;
  }

  /** Nothing more is begun; ends with what is under way. */
  close(): Promise<unknown> {
    this.#closed = true;
    return this.#turn;
  }

  /**
   * A file behind the one that is not available. Nothing was overwritten since that one was in use, so older points read on from
   * here: its entry is that of a point that was removed.
   */
  async makeTail(): Promise<void> {
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
  async makeRoom(bytes: number, forWhom: string | null): Promise<void> {
    const { place } = this.#parts;
    for (;;) {
      if ((await place.room(this.#chain.usedBytes)) >= bytes) return;
      const kept = this.points.filter((p) => p.state === 'kept');
      const isFree = (p: PointEntry): boolean => !this.isInUse(p.id) && p.id !== this.#catalogue.rollingBack?.id;
      const [oldest, ...others] = kept;
      const scheduled = (forWhom === null ? kept.slice(0, -1) : kept).find((p) => p.kind === 'scheduled' && isFree(p));
      // A new point is not worth one that somebody asked for. One in the middle would free next to nothing.
      const isWorth = forWhom === null && others.length > 0;
      const victim = scheduled ?? (isWorth && oldest && isFree(oldest) ? oldest : undefined);
      if (!victim) return;
      this.#parts.told(`The restore point '${victim.name}' was dropped: there was no room for what newer ones keep.`);
      await this.changeEntry(victim.id, (p) =>
        victim.kind === 'scheduled'
          ? { ...p, state: 'removed', trouble: '' }
          : { ...p, state: 'lost', trouble: 'dropped: there was no room for what newer ones keep' },
      );
      await this.tidy();
    }
  }

  /** Nothing more can be kept: whatever reads the live disk where it is overwritten from now on is no restore point any more. */
  async giveUp(reason: string): Promise<void> {
    const names = this.points.filter((p) => p.state === 'kept').map((p) => p.name);
    for (const p of this.#catalogue.points) if (p.state === 'cutting') this.#givenUp.add(p.id);
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
    void this.inTurn(() => this.tidy()).catch(() => undefined);
  }

  /** Files and entries that nobody needs any more are removed: those in front of the oldest point, and images that an older one covers. */
  async tidy(): Promise<void> {
    const { catalogue, place } = this.#parts;
    const { points } = catalogue.value;
    const isPoint = (p: PointEntry): boolean => p.state === 'kept' || p.state === 'cutting';
    const first = points.findIndex(isPoint);
    const isBehind = (i: number): boolean => first < 0 || i < first;
    const gone = points.filter((p, i) => (p.state === 'removed' || p.state === 'lost') && isBehind(i) && this.#chain.hasFile(p.id));
    // The catalogue last: a file that is left over is removed at the next start, an entry without its file would be a lost point.
    for (const p of gone) this.#chain.drop(p.id);
    if (points.some((p, i) => p.state === 'removed' && isBehind(i)))
      await catalogue.change((c) => ({ ...c, points: c.points.filter((p) => p.state !== 'removed' || this.#chain.hasFile(p.id)) }));
    for (const p of gone)
      await place.remove(p.id).catch((e: Error) => this.#parts.told(`A file of restore points is left over: ${e.message}`));
    await this.#chain.releaseCovered();
  }

  changeEntry(id: string, next: (p: PointEntry) => PointEntry): Promise<void> {
    return this.#parts.catalogue.change((c) => ({ ...c, points: c.points.map((p) => (p.id === id ? next(p) : p)) }));
  }
}
