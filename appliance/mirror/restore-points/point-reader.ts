// The disk as a restore point keeps it, read while the guest goes on writing.
//
// No lock: a grain is overwritten only after its old content is kept, so what was read of the live disk is the point's if nothing
// of it is kept by then; else what is kept is.
import type { PointStore } from './point-store.ts';
import { ImageError, type Segment } from './segment.ts';
import { GRAIN_BYTES } from './segment-codec.ts';

export class PointReader {
  readonly sizeBytes: number;
  readonly #points: PointStore;
  readonly #id: string;

  /** The point is to be in use (`PointStore.use`) meanwhile. */
  constructor(points: PointStore, id: string) {
    this.#points = points;
    this.#id = id;
    this.sizeBytes = points.sizeBytes;
    points.chainOf(id);
  }

  /** Rejects when the point cannot be used any more; an image that turns out damaged is its end. */
  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(length);
    const end = offset + length;
    const kept: number[] = [];
    for (let at = offset; at < end; ) {
      let stop = at;
      const chain = this.#points.chainOf(this.#id);
      // Neighbours that are on the live disk are read in one go.
      while (stop < end && !source(chain, grainOf(stop))) stop = Math.min(end, (grainOf(stop) + 1) * GRAIN_BYTES);
      if (stop > at) {
        (await this.#points.readBelow(at, stop - at)).copy(buffer, at - offset);
        const now = this.#points.chainOf(this.#id);
        for (let c = grainOf(at); c * GRAIN_BYTES < stop; c++) if (source(now, c)) kept.push(c);
        at = stop;
      } else {
        kept.push(grainOf(at));
        at = Math.min(end, (grainOf(at) + 1) * GRAIN_BYTES);
      }
    }
    for (const grain of kept) {
      const image = await this.#image(grain);
      const start = grain * GRAIN_BYTES;
      image.copy(buffer, Math.max(0, start - offset), Math.max(0, offset - start), Math.min(image.length, end - start));
    }
    return buffer;
  }

  /** Grains that may differ from the live disk, ascending. */
  changed(): number[] {
    const all = new Set<number>();
    for (const s of this.#points.chainOf(this.#id)) for (const c of s.grains()) all.add(c);
    return [...all].sort((a, b) => a - b);
  }

  async #image(grain: number): Promise<Buffer> {
    const segment = source(this.#points.chainOf(this.#id), grain);
    if (!segment) throw new Error(`grain ${grain} is not kept any more`);
    try {
      return await segment.read(grain);
    } catch (e) {
      if (e instanceof ImageError) await this.#points.spoilt(segment.id, grain, e.message);
      throw e;
    }
  }
}

const grainOf = (offset: number): number => Math.floor(offset / GRAIN_BYTES);

const source = (chain: readonly Segment[], grain: number): Segment | undefined => chain.find((s) => s.has(grain));
