// One file of before-images: what the disk held when its point was taken, of every grain written since, until the next point.
//
// One batch at a time, durable when `append` ends: whoever overwrites a grain waits for that. Only the last batch can be torn,
// and then nothing of it was overwritten: it is read from the live disk again.
import { crc32 } from 'node:zlib';
import type { BlockStore } from '../../../drivers/block/index.ts';
import {
  BATCH_GRAINS,
  type Batch,
  decodeBatchPage,
  encodeBatchPage,
  encodeSegmentPage,
  GRAIN_BYTES,
  type ImageEntry,
  isSegmentPage,
  layOut,
  PAGE_BYTES,
} from './segment-codec.ts';

/** A page that follows a damaged one is looked for so far behind it. */
const BATCH_MOST_BYTES = 2 * PAGE_BYTES + BATCH_GRAINS * GRAIN_BYTES;
const ZERO_AT = 0;
const UNREADABLE_AT = -1;

export interface Image {
  grain: number;
  /** Null: the disk did not give it. */
  data: Buffer | null;
}

export class ImageError extends Error {
  override name = 'ImageError';
  readonly code = 'EIO';
}

export class Segment {
  readonly id: string;
  readonly #store: BlockStore;
  /** By grain: a row of the columns. */
  readonly #rows = new Map<number, number>();
  readonly #at: number[] = [];
  readonly #crc: number[] = [];
  readonly #length: number[] = [];
  #tail = PAGE_BYTES;
  #batches = 0;
  #released = 0;

  private constructor(store: BlockStore, id: string) {
    this.#store = store;
    this.id = id;
  }

  static async create(store: BlockStore, id: string, diskBytes: number): Promise<Segment> {
    await store.write(0, encodeSegmentPage(id, diskBytes));
    await store.flush();
    return new Segment(store, id);
  }

  /**
   * @param batches How many there must be; null: nobody knows, the last one may be torn.
   * @param live Reads a grain of the live disk, which nobody has written to since the start.
   * trouble: what is wrong with it as a whole; `damaged`: grains whose image is gone.
   */
  static async open(
    store: BlockStore,
    id: string,
    diskBytes: number,
    batches: number | null,
    live: (grain: number) => Promise<Buffer>,
  ): Promise<{ segment: Segment; trouble: string; damaged: number[] }> {
    const segment = new Segment(store, id);
    if (!isSegmentPage(await store.read(0, PAGE_BYTES), id, diskBytes))
      return { segment, trouble: 'its file is damaged or another one: the first page is not right', damaged: [] };
    let last: { batch: Batch; at: number } | undefined;
    for (;;) {
      if (segment.#batches === batches) return { segment, trouble: '', damaged: [] };
      const found = await segment.#pageAt(segment.#tail);
      if (found === 'damaged' || (found === null && batches !== null))
        return { segment, trouble: `its file is damaged at ${segment.#tail}`, damaged: [] };
      if (found === null) break;
      last = { batch: found, at: segment.#tail };
      segment.#take(found.entries);
    }
    return { segment, trouble: '', damaged: last ? await segment.#mend(last.batch, last.at, live) : [] };
  }

  get bytes(): number {
    return this.#tail - this.#released;
  }

  /** Of the file. */
  get sizeBytes(): number {
    return this.#store.sizeBytes;
  }

  get batches(): number {
    return this.#batches;
  }

  has(grain: number): boolean {
    return this.#rows.has(grain);
  }

  grains(): Iterable<number> {
    return this.#rows.keys();
  }

  /** Whether a batch of so much would fit. */
  hasRoomFor(bytes: number): boolean {
    return this.#tail + bytes + 2 * PAGE_BYTES <= this.#store.sizeBytes;
  }

  /** Durable when it ends, and only then `has`. At most one at a time; of at most BATCH_GRAINS. */
  async append(images: readonly Image[]): Promise<void> {
    const entries = images.map(({ grain, data }): ImageEntry => {
      if (!data) return { grain, kind: 'unreadable', crc: 0, lengthBytes: GRAIN_BYTES };
      const kind = isZero(data) ? 'zero' : 'data';
      return { grain, kind, crc: kind === 'zero' ? 0 : crc32(data), lengthBytes: data.length };
    });
    const page = encodeBatchPage(this.id, { sequence: this.#batches, entries });
    const parts: Uint8Array[] = [page];
    for (const [i, e] of entries.entries()) {
      const data = images[i]?.data;
      if (e.kind !== 'data' || !data) continue;
      parts.push(data);
      if (data.length % PAGE_BYTES !== 0) parts.push(Buffer.alloc(PAGE_BYTES - (data.length % PAGE_BYTES)));
    }
    parts.push(page);
    await this.#store.write(this.#tail, ...parts);
    await this.#store.flush();
    this.#take(entries);
  }

  /** Rejects with ImageError when the image is gone. */
  async read(grain: number): Promise<Buffer> {
    const row = this.#rows.get(grain);
    const at = row === undefined ? undefined : this.#at[row];
    if (row === undefined || at === undefined) throw new Error(`grain ${grain} is not here`);
    const length = this.#length[row] ?? 0;
    if (at === ZERO_AT) return Buffer.alloc(length);
    const where = `64 KiB at ${grain * GRAIN_BYTES}`;
    if (at === UNREADABLE_AT) throw new ImageError(`${where} could not be read from the disk when they were overwritten`);
    const data = await this.#store.read(at, length);
    if (crc32(data) !== this.#crc[row]) throw new ImageError(`what was kept of ${where} is damaged`);
    return data;
  }

  /** No point needs it any more: its space is given back where the medium can. */
  async forget(grain: number): Promise<void> {
    const row = this.#rows.get(grain);
    const at = row === undefined ? undefined : this.#at[row];
    if (row === undefined || at === undefined) return;
    this.#rows.delete(grain);
    if (at <= ZERO_AT) return;
    const length = Math.ceil((this.#length[row] ?? 0) / PAGE_BYTES) * PAGE_BYTES;
    await this.#store.zero(at, length, { space: 'release' });
    this.#released += length;
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #take(entries: readonly ImageEntry[]): void {
    const { images, secondPage } = layOut(entries, this.#tail);
    for (const [i, e] of entries.entries()) {
      this.#rows.set(e.grain, this.#at.length);
      this.#at.push(e.kind === 'zero' ? ZERO_AT : e.kind === 'unreadable' ? UNREADABLE_AT : (images[i] ?? 0));
      this.#crc.push(e.crc);
      this.#length.push(e.lengthBytes);
    }
    this.#tail = secondPage + PAGE_BYTES;
    this.#batches++;
  }

  /** Null: the file ends here. */
  async #pageAt(at: number): Promise<Batch | null | 'damaged'> {
    const { sizeBytes } = this.#store;
    if (at + PAGE_BYTES > sizeBytes) return null;
    const first = decodeBatchPage(await this.#store.read(at, PAGE_BYTES), this.id);
    if (first?.sequence === this.#batches) return first;
    const window = await this.#store.read(at, Math.min(BATCH_MOST_BYTES + PAGE_BYTES, sizeBytes - at));
    for (let i = PAGE_BYTES; i + PAGE_BYTES <= window.length; i += PAGE_BYTES) {
      const page = decodeBatchPage(window.subarray(i, i + PAGE_BYTES), this.id);
      if (page?.sequence === this.#batches && layOut(page.entries, at).secondPage === at + i) return page;
      if (page && page.sequence > this.#batches) return 'damaged';
    }
    return null;
  }

  /** The last batch, which a loss of power may have torn. Answers what cannot be mended: it was overwritten, and its image is damaged. */
  async #mend(batch: Batch, at: number, live: (grain: number) => Promise<Buffer>): Promise<number[]> {
    const damaged: number[] = [];
    const { images, secondPage } = layOut(batch.entries, at);
    const page = encodeBatchPage(this.id, batch);
    let mended = false;
    const put = async (where: number, bytes: Buffer): Promise<void> => {
      await this.#store.write(where, bytes);
      mended = true;
    };
    for (const [i, e] of batch.entries.entries()) {
      const where = images[i] ?? 0;
      if (e.kind !== 'data' || crc32(await this.#store.read(where, e.lengthBytes)) === e.crc) continue;
      const now = await live(e.grain).catch(() => null);
      if (now && crc32(now) === e.crc) await put(where, now);
      else damaged.push(e.grain);
    }
    for (const where of [at, secondPage]) if (!(await this.#store.read(where, PAGE_BYTES)).equals(page)) await put(where, page);
    if (mended) await this.#store.flush();
    return damaged;
  }
}

const ZEROES = Buffer.alloc(GRAIN_BYTES);

function isZero(data: Buffer): boolean {
  return data.equals(ZEROES.subarray(0, data.length));
}
