// The checksums of one copy in a file beside the journal, a page per extent, and what of it a crash leaves true.
//
// A sum must never be wrong only because of a crash, and no write may wait for a flush of its own: so an extent becomes
// dirty, durably, before the first write to it, and while it is dirty its page counts in memory alone. It is clean again when
// the disk was flushed after its last write, and then the page, and then the map. After an unclean end nothing is known of dirty
// extents. The map is a Metadata of this file's own, with its slots, its identity of the disk and its shared flushes; the rules
// are those of core/activity-log.ts. (The map of what may differ between the copies will not do: it is the source's alone.)
//
//   extent:   clean --begin: map durable--> dirty --write--> dirty ... disk flushed, page flushed, map written --> clean
//
// A file that fails is given up: nothing is known from then on, and the guest sees nothing of it. One that hangs cannot be given up, as
// it would not take the word that it does not count: what it says stays true, so no clean extent is written to any more.
import type { BlockStore } from '../../drivers/block/index.ts';
import { clear, coolable, type HotLimits, isCrowded, moment, settleAll } from '../core/activity-log.ts';
import { blockOf, SUM_BLOCK_BYTES, zeroSum } from './block-sums.ts';
import { type DiskIdentity, METADATA_BYTES, Metadata, MetadataError } from './metadata.ts';
import { extentBytesOf, METADATA_PAGE_BYTES } from './metadata-codec.ts';
import { BLANK_PAGE_START, encodeSumsPage, KNOWN, LOST, type SumsPage, sumsPageBytes, UNKNOWN } from './sums-codec.ts';
import { type Flight, type KeptSum, type Page, SumsPages, sumAt } from './sums-pages.ts';
import { SilentDiskError } from './watched-store.ts';

/** Dirty: 8 GiB of the disk, in 10 MiB of memory. After a crash the sums of as much are unknown, until the next scrub. */
const DIRTY_EXTENTS: HotLimits = { most: 2048, kept: 1536 };
/** Of clean extents in memory: 16 GiB of the disk, in 20 MiB. Reads elsewhere also read their page. */
const CLEAN_PAGES = 4096;
/** Of sums that were learned from reading and are not on the medium yet: losing them costs the next scrub a little. */
const LEARNED_PAGES = 256;
/** Between two attempts: while the same extents are written to all the time, none can be clean. */
const SETTLE_PAUSE_MS = 1_000;
/** Dirty after a crash: more is a damaged map, and cheaper forgotten as a whole. */
const MOST_FORGOTTEN = 16_384;

/** What the sums were when a read began. */
export interface Look {
  readonly loading: Promise<unknown> | undefined;
  readonly views: readonly View[];
}

interface View {
  page: Page;
  /** Blocks of the disk. */
  from: number;
  to: number;
  began: number;
  /** Undefined: the page was not loaded. */
  before: SumsPage | undefined;
}

export interface KeptSumsParts {
  /** What a page says must be on the medium first. */
  flushDisk(): Promise<void>;
  /** The file failed. Once. */
  onOff(reason: string): void;
}

export function sumsFileBytes(identity: DiskIdentity): number {
  const bytes = extentBytesFor(identity);
  return METADATA_BYTES + Math.ceil(identity.sizeBytes / bytes) * sumsPageBytes(bytes / SUM_BLOCK_BYTES);
}

/** A page is about some blocks at least. */
function extentBytesFor({ sizeBytes, scale }: DiskIdentity): number {
  return extentBytesOf(sizeBytes, scale ? Math.max(scale.extentBytes, 4 * SUM_BLOCK_BYTES) : undefined);
}

export class KeptSums {
  readonly #store: BlockStore;
  #map: Metadata;
  readonly #identity: DiskIdentity;
  readonly #parts: KeptSumsParts;
  readonly #sizeBytes: number;
  readonly #pages: SumsPages;
  /** Extents whose page knows more than the medium, of blocks that did not change. */
  readonly #learned = new Set<number>();
  readonly #pauseMs: number;
  #settledMs = -Infinity;
  #settling: Promise<void> | undefined;
  /** The disk cannot be flushed any more, or the file does not answer: what is dirty stays so. */
  #stuck = false;
  #off = false;

  private constructor(store: BlockStore, map: Metadata, own: DiskIdentity, identity: DiskIdentity, parts: KeptSumsParts) {
    this.#store = store;
    this.#map = map;
    this.#parts = parts;
    this.#sizeBytes = identity.sizeBytes;
    const extentBlocks = map.extentBytes / SUM_BLOCK_BYTES;
    this.#pages = new SumsPages({
      store,
      extentBlocks,
      pageBytes: sumsPageBytes(extentBlocks),
      cleanPages: identity.scale ? identity.scale.hot.most : CLEAN_PAGES,
      life: () => this.#map.life,
      isDirty: (extent) => this.#map.log.suspects.has(extent),
    });
    this.#pauseMs = identity.scale?.settlePauseMs ?? SETTLE_PAUSE_MS;
    this.#identity = own;
    // One copy's own log: nothing in it waits for a partner.
    map.log.phase = 'together';
  }

  /** unknown: why nothing is known of this disk; null: all is well, or the file is new. */
  static async open(store: BlockStore, identity: DiskIdentity, parts: KeptSumsParts): Promise<{ sums: KeptSums; unknown: string | null }> {
    const own: DiskIdentity = { ...identity, scale: scaleOf(identity) };
    let unknown: string | null = null;
    let map: Metadata;
    try {
      map = await Metadata.open(store, own);
      if (map.log.suspects.size > MOST_FORGOTTEN) throw new MetadataError('damaged', 'the map of the checksums is damaged');
    } catch (e) {
      if (!(e instanceof MetadataError)) throw e;
      if (e.trouble !== 'blank') unknown = e.message;
      map = await Metadata.create(store, own);
    }
    const sums = new KeptSums(store, map, own, identity, parts);
    await sums.#forgetDirty();
    return { sums, unknown };
  }

  get isOff(): boolean {
    return this.#off;
  }

  /** Extents that a crash would make unknown. */
  get dirtyExtents(): number {
    return this.#map.log.suspects.size;
  }

  /** The range may be written to when it ends; undefined: now. Asked ahead of `enter`, so that one may wait for other things meanwhile. */
  prepare(offset: number, length: number): Promise<unknown> | undefined {
    const extent = Math.floor(blockOf(offset) / this.#pages.extentBlocks);
    const page = this.#pages.get(extent);
    const isOne = extent === Math.floor(blockOf(offset + length - 1) / this.#pages.extentBlocks);
    if (isOne && page && !page.loading && this.#map.isDurable(extent)) return undefined;
    const wait = this.enter(offset, length);
    if (!this.#off) this.#map.end(offset, length);
    return wait;
  }

  /** A write to the range comes: `take` when it ends (undefined: now), then `end`, whatever became of it. */
  enter(offset: number, length: number): Promise<unknown> | undefined {
    if (this.#off) return undefined;
    const { log } = this.#map;
    const cold = this.#map.begin(offset, length, 0);
    let waits: Promise<unknown>[] | undefined;
    const alsoFor = (wait: Promise<unknown>): void => {
      waits ??= [];
      waits.push(wait);
    };
    if (cold)
      alsoFor(
        cold.catch((e: Error) => {
          if (!(e instanceof SilentDiskError)) return this.#fail(e);
          // Or the sums that the medium has for this extent would be believed at the next start.
          this.#stuck = true;
          throw e;
        }),
      );
    const last = Math.floor(blockOf(offset + length - 1) / this.#pages.extentBlocks);
    for (let extent = Math.floor(blockOf(offset) / this.#pages.extentBlocks); extent <= last; extent++) {
      const page = this.#pages.of(extent);
      this.#pages.keep(extent);
      if (page.loading) alsoFor(page.loading);
    }
    // More than this is dirty only if the disk is much slower than its writers: they wait for it.
    if (log.hot.size > 2 * log.limits.most && this.#settling && !this.#stuck) alsoFor(this.#settling);
    return waits && Promise.all(waits);
  }

  /** The write begins: until `end` nothing is known of its blocks. restorable: it may end as 'undone'. */
  take(offset: number, length: number, restorable = false): Flight {
    const first = blockOf(offset);
    const end = blockOf(offset + length - 1) + 1;
    const flight: Flight = {
      offset,
      length,
      first,
      end,
      sumBefore: { first: this.#pages.sumOf(first), last: this.#pages.sumOf(end - 1) },
      knownBefore: restorable ? new Uint8Array(end - first) : undefined,
    };
    for (let from = first; from < end; ) {
      const extent = Math.floor(from / this.#pages.extentBlocks);
      const base = extent * this.#pages.extentBlocks;
      const to = Math.min(end, base + this.#pages.extentBlocks);
      const page = this.#pages.get(extent);
      if (page) this.#takeFrom(page, flight, from, to);
      from = to;
    }
    return flight;
  }

  #takeFrom(page: Page, flight: Flight, from: number, to: number): void {
    page.began++;
    for (const other of page.flights) {
      for (let b = Math.max(from, other.first); b < Math.min(to, other.end); b++) {
        other.contested ??= new Set();
        other.contested.add(b);
        flight.contested ??= new Set();
        flight.contested.add(b);
      }
    }
    page.flights.push(flight);
    const base = page.extent * this.#pages.extentBlocks;
    flight.knownBefore?.set(page.known.subarray(from - base, to - base), from - flight.first);
    for (let b = from - base; b < to - base; b++) page.known[b] = UNKNOWN;
  }

  /** sums: of the write. 'failed': it is not known what is there now. 'undone': nothing was changed. */
  end(flight: Flight, sums: Uint32Array | 'zero' | 'failed' | 'undone'): void {
    const { first } = flight;
    for (let from = first; from < flight.end; ) {
      const extent = Math.floor(from / this.#pages.extentBlocks);
      const base = extent * this.#pages.extentBlocks;
      const to = Math.min(flight.end, base + this.#pages.extentBlocks);
      const page = this.#pages.get(extent);
      if (page && isRemoved(page.flights, flight)) {
        for (let b = from; b < to; b++) {
          const after = this.#sumAfter(flight, b, sums);
          if (after === 'lost') {
            page.known[b - base] = LOST;
            flight.halfLost ??= [];
            flight.halfLost.push(b);
          } else if (flight.contested?.has(b)) continue;
          else if (after !== undefined) {
            page.crcs[b - base] = after;
            page.known[b - base] = KNOWN;
          } else if (sums === 'undone') page.known[b - base] = flight.knownBefore?.[b - first] ?? UNKNOWN;
        }
      }
      from = to;
    }
    if (this.#off) return;
    this.#map.end(flight.offset, flight.length);
    if (isCrowded(this.#map.log)) this.#settleSoon();
  }

  /** The range is read next. To be given to `settled`. */
  look(first: number, end: number): Look {
    const views: View[] = [];
    let loading: Promise<unknown> | undefined;
    if (!this.#off) {
      for (const [extent, from, to] of this.#pages.extents(first, end)) {
        const page = this.#pages.of(extent);
        page.readers++;
        const base = extent * this.#pages.extentBlocks;
        let before: SumsPage | undefined;
        if (page.loading) loading = loading ? Promise.all([loading, page.loading]) : page.loading;
        else before = { crcs: page.crcs.slice(from - base, to - base), known: page.known.slice(from - base, to - base) };
        views.push({ page, from, to, began: page.flights.length > 0 ? -1 : page.began, before });
      }
    }
    return { loading, views };
  }

  /**
   * What was known of each block all the while; undefined: nothing, or a write came by. Ends the look.
   */
  settled(look: Look): KeptSum[] {
    const found: KeptSum[] = [];
    for (const { page, from, to, began, before } of look.views) {
      page.readers--;
      const base = page.extent * this.#pages.extentBlocks;
      for (let b = from; b < to; b++) {
        const sum = sumAt(page, b - base);
        const same = before ? sumAt(before, b - from) === sum : page.began === began;
        found.push(same && !this.#off ? sum : undefined);
      }
    }
    return found;
  }

  /** The block was read, does not change, and nothing is known of it: this is its sum from now on. */
  learn(block: number, crc: number): void {
    const extent = Math.floor(block / this.#pages.extentBlocks);
    const page = this.#pages.get(extent);
    const i = block - extent * this.#pages.extentBlocks;
    if (this.#off || !page || page.loading || page.known[i] !== UNKNOWN) return;
    for (const f of page.flights) if (block >= f.first && block < f.end) return;
    page.crcs[i] = crc;
    page.known[i] = KNOWN;
    this.#learned.add(extent);
    this.#pages.keep(extent);
    if (this.#learned.size > LEARNED_PAGES) this.#settleSoon();
  }

  /** Nothing is known of any block. Before the first request. */
  async forget(): Promise<void> {
    try {
      this.#map = await Metadata.create(this.#store, this.#identity);
      this.#map.log.phase = 'together';
    } catch (e) {
      if (e instanceof SilentDiskError) throw e;
      await this.#fail(e as Error);
    }
  }

  /** All that can be known after the end is on the medium. No write is under way. */
  async close(): Promise<void> {
    await this.#settling;
    if (!this.#off && !this.#stuck) {
      this.#settling = this.#settle(true);
      await this.#settling;
    }
    await this.#map.close();
  }

  #sumAfter(flight: Flight, block: number, sums: Uint32Array | 'zero' | 'failed' | 'undone'): KeptSum {
    if (sums === 'undone') return undefined;
    const start = block * SUM_BLOCK_BYTES;
    const end = Math.min(start + SUM_BLOCK_BYTES, this.#sizeBytes);
    const isPart = start < flight.offset || end > flight.offset + flight.length;
    // The rest of it stays lost, whatever becomes of this write and of another one to it.
    if (isPart && (block === flight.first ? flight.sumBefore.first : flight.sumBefore.last) === 'lost') return 'lost';
    if (sums === 'failed') return undefined;
    // What was read there may have been half of what another write wrote.
    if (isPart) return flight.contested?.has(block) ? undefined : flight.edges?.get(block);
    return sums === 'zero' ? zeroSum(end - start) : sums[block - flight.first];
  }

  // Durability.

  /** After a crash: what was dirty does not count. */
  async #forgetDirty(): Promise<void> {
    const { suspects } = this.#map.log;
    if (suspects.size === 0) return;
    await Promise.all([...suspects].map((extent) => this.#store.write(this.#pages.at(extent), BLANK_PAGE_START)));
    await this.#store.flush();
    await this.#map.cleared(settleAll(this.#map.log, moment(this.#map.log)));
  }

  #settleSoon(): void {
    if (this.#settling || this.#stuck || this.#off || performance.now() - this.#settledMs < this.#pauseMs) return;
    this.#settling = this.#settle(false);
  }

  async #settle(all: boolean): Promise<void> {
    const { log } = this.#map;
    const since = moment(log);
    const learned = [...this.#learned];
    try {
      try {
        await this.#parts.flushDisk();
      } catch {
        this.#stuck = true;
        return;
      }
      const cold = coolable(log, since, all);
      const extents = new Set([...cold, ...learned.filter((e) => !log.suspects.has(e))]);
      // In the same turn: an extent that is written to from now on stays dirty, whatever its page says.
      const pages: { extent: number; bytes: Buffer }[] = [];
      for (const extent of extents) {
        const page = this.#pages.get(extent);
        if (page && !page.loading) pages.push({ extent, bytes: encodeSumsPage(page, extent, this.#map.life) });
        this.#learned.delete(extent);
      }
      await Promise.all(pages.map(({ extent, bytes }) => this.#store.write(this.#pages.at(extent), bytes)));
      await this.#store.flush();
      // Not before: the map may be written at any time, on behalf of another extent.
      await this.#map.cleared(clear(log, cold, since));
      for (const extent of extents) if (!log.suspects.has(extent) && !this.#learned.has(extent)) this.#pages.mayForget(extent);
      this.#pages.forgetClean();
    } catch (e) {
      await this.#fail(e as Error);
    } finally {
      this.#settling = undefined;
      this.#settledMs = performance.now();
    }
  }

  /** What the file says may be wrong from the next write on: it is made blank, if it can be, and does not count any more. */
  async #fail(e: Error): Promise<void> {
    if (this.#off) return;
    if (e instanceof SilentDiskError) {
      this.#stuck = true;
      return;
    }
    this.#off = true;
    this.#parts.onOff(e.message);
    try {
      await this.#store.zero(0, 2 * METADATA_PAGE_BYTES);
      await this.#store.flush();
    } catch {
      // Its medium is gone: so is what it said.
    }
  }
}

function isRemoved(flights: Flight[], flight: Flight): boolean {
  const at = flights.indexOf(flight);
  if (at < 0) return false;
  const last = flights.pop();
  if (last && last !== flight) flights[at] = last;
  return true;
}

function scaleOf(identity: DiskIdentity): NonNullable<DiskIdentity['scale']> {
  const extentBytes = extentBytesFor(identity);
  return identity.scale ? { ...identity.scale, extentBytes } : { extentBytes, hot: DIRTY_EXTENTS, settlePauseMs: 0 };
}
