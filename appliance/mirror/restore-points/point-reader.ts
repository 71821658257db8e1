// The disk as a restore point keeps it, read while the guest goes on writing.
//
// No lock: a cluster is overwritten only after its old content is kept, so what was read of the live disk is the point's if nothing
// of it is kept by then; else what is kept is.
import type { PointStore } from './point-store.ts';
import { ImageError, type Segment } from './segment.ts';
import { CLUSTER_BYTES } from './segment-codec.ts';

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
      while (stop < end && !source(chain, clusterOf(stop))) stop = Math.min(end, (clusterOf(stop) + 1) * CLUSTER_BYTES);
      if (stop > at) {
        (await this.#points.readBelow(at, stop - at)).copy(buffer, at - offset);
        const now = this.#points.chainOf(this.#id);
        for (let c = clusterOf(at); c * CLUSTER_BYTES < stop; c++) if (source(now, c)) kept.push(c);
        at = stop;
      } else {
        kept.push(clusterOf(at));
        at = Math.min(end, (clusterOf(at) + 1) * CLUSTER_BYTES);
      }
    }
    for (const cluster of kept) {
      const image = await this.#image(cluster);
      const start = cluster * CLUSTER_BYTES;
      image.copy(buffer, Math.max(0, start - offset), Math.max(0, offset - start), Math.min(image.length, end - start));
    }
    return buffer;
  }

  /** Clusters that may differ from the live disk, ascending. */
  changed(): number[] {
    const all = new Set<number>();
    for (const s of this.#points.chainOf(this.#id)) for (const c of s.clusters()) all.add(c);
    return [...all].sort((a, b) => a - b);
  }

  async #image(cluster: number): Promise<Buffer> {
    const segment = source(this.#points.chainOf(this.#id), cluster);
    if (!segment) throw new Error(`cluster ${cluster} is not kept any more`);
    try {
      return await segment.read(cluster);
    } catch (e) {
      if (e instanceof ImageError) await this.#points.spoilt(segment.id, cluster, e.message);
      throw e;
    }
  }
}

const clusterOf = (offset: number): number => Math.floor(offset / CLUSTER_BYTES);

const source = (chain: readonly Segment[], cluster: number): Segment | undefined => chain.find((s) => s.has(cluster));
