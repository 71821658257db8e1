// The pages of checksums in memory: those of dirty extents, which count there alone, and of clean ones as many as there is room for.
import type { BlockStore } from '../../drivers/block/index.ts';
import { METADATA_BYTES } from './metadata.ts';
import { decodeSumsPage, KNOWN, LOST, type SumsPage } from './sums-codec.ts';

/** lost: the block is not what it should be, whatever is read there. It has no sum that could tell whether other bytes are right. */
export type KeptSum = number | 'lost' | undefined;

/** A write under way: the sums of the blocks [first, end) are unknown until it ends. */
export interface Flight {
  readonly offset: number;
  readonly length: number;
  readonly first: number;
  readonly end: number;
  /** The sums of the first and last block before. */
  readonly sumBefore: { first: KeptSum; last: KeptSum };
  /** What the blocks have afterwards that it does not fill: set by the writer, if it knows. */
  edges?: Map<number, KeptSum>;
  /** Blocks that two writes change at the same time. */
  contested?: Set<number>;
  readonly knownBefore: Uint8Array | undefined;
  /** Blocks that it filled in part only, and whose rest is lost: known from its end on. */
  halfLost?: number[];
}

export interface Page extends SumsPage {
  readonly extent: number;
  loading: Promise<void> | undefined;
  /** A few at most. */
  readonly flights: Flight[];
  /** Counts flights, to know whether one came by. */
  began: number;
  readers: number;
}

export interface SumsPagesParts {
  store: BlockStore;
  /** Of an extent. */
  extentBlocks: number;
  pageBytes: number;
  /** Of clean extents in memory. */
  cleanPages: number;
  /** Of the file: a page of another one does not count. */
  life(): bigint;
  isDirty(extent: number): boolean;
}

export class SumsPages {
  readonly extentBlocks: number;
  readonly #parts: SumsPagesParts;
  readonly #pages = new Map<number, Page>();
  /** Pages of clean extents, the least used first. */
  readonly #clean = new Set<number>();

  constructor(parts: SumsPagesParts) {
    this.#parts = parts;
    this.extentBlocks = parts.extentBlocks;
  }

  /** Undefined: not in memory. */
  get(extent: number): Page | undefined {
    return this.#pages.get(extent);
  }

  /** It may not be forgotten. */
  keep(extent: number): void {
    if (this.#clean.size > 0) this.#clean.delete(extent);
  }

  /** What the medium has is the same: it may be forgotten. */
  mayForget(extent: number): void {
    this.#clean.add(extent);
  }

  /** The extents of the blocks [first, end), and which of their blocks. */
  *extents(first: number, end: number): Iterable<[extent: number, from: number, to: number]> {
    for (let b = first; b < end; ) {
      const extent = Math.floor(b / this.extentBlocks);
      const to = Math.min(end, (extent + 1) * this.extentBlocks);
      yield [extent, b, to];
      b = to;
    }
  }

  /** Read now if it is not in memory: `loading` says until when. */
  of(extent: number): Page {
    const found = this.#pages.get(extent);
    if (found) {
      if (this.#clean.delete(extent)) this.#clean.add(extent);
      return found;
    }
    const page: Page = {
      extent,
      crcs: new Uint32Array(this.extentBlocks),
      known: new Uint8Array(this.extentBlocks),
      loading: undefined,
      flights: [],
      began: 0,
      readers: 0,
    };
    this.#pages.set(extent, page);
    page.loading = this.#load(page);
    this.forgetClean();
    return page;
  }

  async #load(page: Page): Promise<void> {
    try {
      decodeSumsPage(await this.#parts.store.read(this.at(page.extent), this.#parts.pageBytes), page.extent, this.#parts.life(), page);
    } catch {
      // A page that cannot be read says nothing: it is written anew with the next write to its extent.
    }
    page.loading = undefined;
    if (!this.#parts.isDirty(page.extent)) this.#clean.add(page.extent);
  }

  /** Of clean extents, the least used go. */
  forgetClean(): void {
    for (const extent of this.#clean) {
      if (this.#clean.size <= this.#parts.cleanPages) return;
      // The least used is being read: it will be the least used again.
      if ((this.#pages.get(extent)?.readers ?? 0) > 0) return;
      this.#clean.delete(extent);
      this.#pages.delete(extent);
    }
  }

  /** Where it is in the file. */
  at(extent: number): number {
    return METADATA_BYTES + extent * this.#parts.pageBytes;
  }

  /** Undefined: unknown, or not in memory. */
  sumOf(block: number): KeptSum {
    const extent = Math.floor(block / this.extentBlocks);
    const page = this.#pages.get(extent);
    const i = block - extent * this.extentBlocks;
    return page && sumAt(page, i);
  }
}

export function sumAt(page: SumsPage, i: number): KeptSum {
  if (page.known[i] === KNOWN) return page.crcs[i];
  return page.known[i] === LOST ? 'lost' : undefined;
}
