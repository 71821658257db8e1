// What stands where the guest is about to write is kept first: those that wait at the same time share one write and one flush.
import { StoreError } from '../../../drivers/block/index.ts';
import type { PointChain } from './point-chain.ts';
import type { Image } from './segment.ts';
import { BATCH_GRAINS, GRAIN_BYTES } from './segment-codec.ts';

/** A write waits no longer for its before-image; then the points are given up. Most disks that come back do so within this. */
const SAVE_WITHIN_MS = 5_000;

export interface BeforeImagesParts {
  chain: PointChain;
  sizeBytes: number;
  place: { room(usedBytes: number): Promise<number> };
  /** What this copy was given last. */
  readBelow(offset: number, length: number): Promise<Buffer>;
  /** Points are dropped for it, if they may be. */
  makeRoom(bytes: number): Promise<void>;
  /** A file behind one that is not available. */
  makeTail(): Promise<void>;
  /** Nothing more can be kept. Durable when it ends. */
  giveUp(reason: string): Promise<void>;
  saveWithinMs: number | undefined;
}

export class BeforeImages {
  readonly #parts: BeforeImagesParts;
  readonly #chain: PointChain;
  /** By grain: those whose before-image is on its way. */
  readonly #waiting = new Map<number, { promise: Promise<void>; resolve: () => void }>();
  #saving = false;

  constructor(parts: BeforeImagesParts) {
    this.#parts = parts;
    this.#chain = parts.chain;
  }

  /** What must be kept before the range is overwritten; undefined: nothing. None of them rejects. */
  saves(offset: number, length: number): Promise<void>[] | undefined {
    // What is outside of the disk is refused below, with a better reason.
    if (!this.#chain.isKeeping || length <= 0 || offset < 0 || offset + length > this.#parts.sizeBytes) return undefined;
    let saves: Promise<void>[] | undefined;
    const last = Math.floor((offset + length - 1) / GRAIN_BYTES);
    for (let grain = Math.floor(offset / GRAIN_BYTES); grain <= last; grain++) {
      if (this.#chain.active?.has(grain)) continue;
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
      if (this.#chain.isKeeping) {
        const reason = await this.#saveBatch(batch.map(([grain]) => grain));
        if (reason !== null) await this.#parts.giveUp(reason);
      }
      for (const [grain, { resolve }] of batch) {
        this.#waiting.delete(grain);
        resolve();
      }
    }
    this.#saving = false;
  }

  /** Null: durable. Else why not. */
  async #saveBatch(grains: number[]): Promise<string | null> {
    const { place, makeRoom, makeTail, saveWithinMs = SAVE_WITHIN_MS } = this.#parts;
    const chain = this.#chain;
    let timer: NodeJS.Timeout | undefined;
    const save = async (images: Image[]): Promise<string | null> => {
      const bytes = images.length * GRAIN_BYTES;
      if (chain.lacksTail) await makeTail();
      const segment = chain.active;
      if (!segment) return null;
      if ((await place.room(chain.usedBytes)) < bytes) await makeRoom(bytes);
      if (segment !== chain.active) return null;
      if ((await place.room(chain.usedBytes)) < bytes || !segment.hasRoomFor(bytes)) return 'there was no room for what was overwritten';
      await segment.append(images);
      return null;
    };
    try {
      // A disk that hangs holds the write as well: that is not the fault of the restore points.
      const images = await Promise.all(grains.map((c) => this.#image(c)));
      const { promise: tooLate, resolve } = Promise.withResolvers<string>();
      timer = setTimeout(() => resolve(`what was overwritten could not be kept within ${saveWithinMs / 1000} s`), saveWithinMs);
      return await Promise.race([save(images), tooLate]);
    } catch (e) {
      return `what was overwritten could not be kept: ${(e as Error).message}`;
    } finally {
      clearTimeout(timer);
    }
  }

  async #image(grain: number): Promise<Image> {
    const offset = grain * GRAIN_BYTES;
    try {
      return { grain, data: await this.#parts.readBelow(offset, Math.min(GRAIN_BYTES, this.#parts.sizeBytes - offset)) };
    } catch (e) {
      if (!(e instanceof StoreError)) throw e;
      return { grain, data: null };
    }
  }
}
