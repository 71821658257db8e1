// The durable form of a copy's record and of its suspect extents: one file beside the journal.
//
// The record alternates between two checksummed slots: written, flushed, then written to the other slot too. The map is
// a few checksummed pages, written in place: a page that is torn by a loss of power makes all its extents suspect, which
// costs a comparison and never a byte. Writes of the guest that need a page at the same time share one write and one flush.
//
// | offset      | what                             |
// |      0      | slot 0                           |
// |   4096      | slot 1                           |
// |   8192 + n  | the map's pages, 4096 bytes each |
import { randomBytes } from 'node:crypto';
import type { BlockStore } from '../../drivers/block/index.ts';
import { type ActivityLog, activityLog, beginWrite, endWrite, HOT_EXTENTS, type HotLimits } from '../core/activity-log.ts';
import type { CopyRecord, CopyState } from '../core/mirror.ts';
import {
  decodeMapPage,
  decodeMetadataSlot,
  EXTENTS_PER_PAGE,
  encodeMapPage,
  encodeMetadataSlot,
  extentBytesOf,
  MAP_PAGES,
  METADATA_PAGE_BYTES,
  type Slot,
} from './metadata-codec.ts';

const NAMELESS = new Uint8Array(32);
const MAP_AT = 2 * METADATA_PAGE_BYTES;
/** Of the file, whatever the size of the disk. */
export const METADATA_BYTES = MAP_AT + MAP_PAGES * METADATA_PAGE_BYTES;

/** The disk the metadata has to be of. */
export interface DiskIdentity {
  /** 16 hex digits. */
  pair: string;
  /** 32 bytes that tell this disk from another that has its name; null: nothing does. */
  disk: Uint8Array | null;
  sizeBytes: number;
  scale?: MetadataScale;
}

/** Smaller ones in tests. */
export interface MetadataScale {
  extentBytes: number;
  hot: HotLimits;
  settlePauseMs: number;
}

/**
 *  blank      the file is new: nothing is known of the disk
 *  damaged    both slots are: who is right about the disk is for the arbitration or the operator
 *  otherPair, otherDisk   it is not about this disk
 *  smaller, larger   it is about this disk when that had another size: the disk is smaller, or larger, now
 *  unnamed    nothing tells this disk from another in its place
 */
export type MetadataTrouble = 'blank' | 'damaged' | 'otherPair' | 'otherDisk' | 'smaller' | 'larger' | 'unnamed';

export class MetadataError extends Error {
  readonly trouble: MetadataTrouble;

  constructor(trouble: MetadataTrouble, message: string) {
    super(message);
    this.name = 'MetadataError';
    this.trouble = trouble;
  }
}

interface Waiter {
  extent: number;
  resolve: () => void;
  reject: (e: Error) => void;
}

export class Metadata {
  readonly extentBytes: number;
  readonly log: ActivityLog;
  readonly #store: BlockStore;
  readonly #identity: DiskIdentity;
  readonly #life: bigint;
  #counter: bigint;
  #record: CopyRecord;
  #recordTurn: Promise<unknown> = Promise.resolve();
  /** Suspect on stable media, whichever page writes are under way. */
  readonly #durable: Set<number>;
  readonly #stale = new Set<number>();
  #waiters: Waiter[] = [];
  #writing: Promise<void> | undefined;
  #failed: Error | undefined;
  /** Found so by `open`; -1: none. */
  #damagedSlot = -1;

  private constructor(store: BlockStore, identity: DiskIdentity, slot: Slot, suspects: Iterable<number>) {
    this.#store = store;
    this.#identity = identity;
    this.#life = slot.life;
    this.#counter = slot.counter;
    this.#record = slot.record;
    this.extentBytes = extentBytesOf(identity.sizeBytes, identity.scale?.extentBytes);
    this.log = activityLog(suspects, identity.scale?.hot ?? HOT_EXTENTS);
    this.#durable = new Set(this.log.suspects);
  }

  /** Writes nothing. Rejects with MetadataError when the file says nothing of this disk. */
  static async open(store: BlockStore, identity: DiskIdentity): Promise<Metadata> {
    const slots = [await store.read(0, METADATA_PAGE_BYTES), await store.read(METADATA_PAGE_BYTES, METADATA_PAGE_BYTES)];
    const decoded = slots.map(decodeMetadataSlot);
    const whole = decoded.filter((s) => s !== null);
    const newest = whole.sort((a, b) => (a.counter < b.counter ? 1 : -1))[0];
    if (!newest) {
      if (slots.every((s) => s.every((byte) => byte === 0))) throw new MetadataError('blank', 'nothing is recorded of this disk yet');
      throw new MetadataError('damaged', 'both copies of the record of this disk are damaged: what it missed is unknown');
    }
    const { record, sizeBytes, disk, life } = newest;
    if (record.pair !== identity.pair) throw new MetadataError('otherPair', 'the record of this disk is that of another pair');
    if (identity.disk === null) throw new MetadataError('unnamed', 'nothing tells this disk from another in its place');
    if (!Buffer.from(disk).equals(identity.disk))
      throw new MetadataError('otherDisk', 'the record is of another disk: this one was replaced');
    if (sizeBytes !== identity.sizeBytes)
      throw new MetadataError(
        sizeBytes > identity.sizeBytes ? 'smaller' : 'larger',
        `the disk had ${sizeBytes} bytes when it was recorded, now it has ${identity.sizeBytes}`,
      );
    const extents = Math.ceil(sizeBytes / extentBytesOf(sizeBytes, identity.scale?.extentBytes));
    const suspects: number[] = [];
    for (let page = 0; page * EXTENTS_PER_PAGE < extents; page++) {
      const bytes = await store.read(MAP_AT + page * METADATA_PAGE_BYTES, METADATA_PAGE_BYTES);
      const found = decodeMapPage(bytes, page, life);
      const first = page * EXTENTS_PER_PAGE;
      const end = Math.min(extents, first + EXTENTS_PER_PAGE);
      if (found) for (const e of found) suspects.push(e);
      else for (let e = first; e < end; e++) suspects.push(e);
    }
    if (suspects.some((e) => e >= extents)) throw new MetadataError('damaged', 'the map of this disk names extents outside of it');
    const metadata = new Metadata(store, identity, newest, suspects);
    metadata.#damagedSlot = decoded.indexOf(null);
    return metadata;
  }

  /** A new record, of a generation nobody else has: the partner's copy is made equal as a whole. */
  static async create(store: BlockStore, identity: DiskIdentity): Promise<Metadata> {
    const record: CopyRecord = { pair: identity.pair, current: newGeneration(), base: null, history: [], inconsistent: false };
    const life = randomBytes(8).readBigUInt64BE();
    const { sizeBytes } = identity;
    const disk = identity.disk ?? NAMELESS;
    // Cut short at any point it is blank or damaged, never a whole record over a map of another life.
    await store.zero(0, MAP_AT);
    await store.flush();
    for (let page = 0; page < MAP_PAGES; page++) await store.write(MAP_AT + page * METADATA_PAGE_BYTES, encodeMapPage(page, life, []));
    await store.flush();
    const metadata = new Metadata(store, identity, { counter: 0n, life, sizeBytes, disk, record }, []);
    await metadata.setRecord(record);
    await metadata.#recordTurn;
    return metadata;
  }

  /** Of the file: random, new with every new file. */
  get life(): bigint {
    return this.#life;
  }

  /** One of the two slots was damaged: it is written again, before any change could put the other one at risk. False: both are whole. */
  async mend(): Promise<boolean> {
    const slot = this.#damagedSlot;
    if (slot < 0) return false;
    this.#damagedSlot = -1;
    await this.#store.write(slot * METADATA_PAGE_BYTES, this.#encoded(this.#record));
    await this.#store.flush();
    return true;
  }

  #encoded(record: CopyRecord): Buffer {
    const { sizeBytes } = this.#identity;
    return encodeMetadataSlot({
      counter: this.#counter,
      life: this.#life,
      sizeBytes,
      disk: this.#identity.disk ?? NAMELESS,
      record,
    });
  }

  get record(): CopyRecord {
    return this.#record;
  }

  get state(): CopyState {
    return { record: this.#record, suspects: this.log.suspects };
  }

  get extents(): number {
    return Math.ceil(this.#identity.sizeBytes / this.extentBytes);
  }

  /** Durable when it ends; then it goes to the other slot too. `next` gets what the record is by then. */
  change(next: (record: CopyRecord) => CopyRecord): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#recordTurn = this.#recordTurn.then(async () => {
      try {
        await this.#setRecord(next(this.#record), resolve);
      } catch (e) {
        reject(e as Error);
      }
    });
    return promise;
  }

  setRecord(record: CopyRecord): Promise<void> {
    return this.change(() => record);
  }

  async #setRecord(record: CopyRecord, durable: () => void): Promise<void> {
    this.#counter++;
    const slot = this.#encoded(record);
    const first = Number(this.#counter % 2n) * METADATA_PAGE_BYTES;
    await this.#store.write(first, slot);
    await this.#store.flush();
    this.#record = record;
    durable();
    await this.#store.write(METADATA_PAGE_BYTES - first, slot);
    await this.#store.flush();
  }

  /** Before a write to the range: undefined when it may go now (hot), else it may go when the promise ends. */
  begin(offset: number, length: number, interval: number): Promise<unknown> | undefined {
    let waits: Promise<void>[] | undefined;
    const last = this.#lastExtent(offset, length);
    for (let extent = Math.floor(offset / this.extentBytes); extent <= last; extent++) {
      beginWrite(this.log, extent, interval);
      if (this.#durable.has(extent)) continue;
      waits ??= [];
      waits.push(this.#untilDurable(extent));
    }
    return waits && Promise.all(waits);
  }

  /** `begin` of a write to it would not wait. */
  isDurable(extent: number): boolean {
    return this.#durable.has(extent);
  }

  /** The write has ended, well or not. */
  end(offset: number, length: number): void {
    const last = this.#lastExtent(offset, length);
    for (let extent = Math.floor(offset / this.extentBytes); extent <= last; extent++) endWrite(this.log, extent);
  }

  /** Makes more extents suspect, durably. */
  async suspect(extents: Iterable<number>): Promise<void> {
    const waits: Promise<void>[] = [];
    for (const extent of extents) {
      this.log.suspects.add(extent);
      if (!this.#durable.has(extent)) waits.push(this.#untilDurable(extent));
    }
    await Promise.all(waits);
  }

  /** The extents of a range of the disk. */
  *#extentsOf(offset: number, length: number): Iterable<number> {
    const last = this.#lastExtent(offset, length);
    for (let extent = Math.floor(offset / this.extentBytes); extent <= last; extent++) yield extent;
  }

  /** -1: of an empty range. */
  #lastExtent(offset: number, length: number): number {
    return length <= 0 ? -1 : Math.floor((offset + length - 1) / this.extentBytes);
  }

  /** All of them at once: one flush, however many there are. `end` is excluded. */
  suspectRanges(ranges: Iterable<{ start: number; end: number }>): Promise<void> {
    return this.suspect(this.extentsOf(ranges));
  }

  /** The extents of some ranges of the disk, each once. `end` is excluded. */
  extentsOf(ranges: Iterable<{ start: number; end: number }>): number[] {
    const extents = new Set<number>();
    for (const { start, end } of ranges) for (const extent of this.#extentsOf(start, end - start)) extents.add(extent);
    return [...extents];
  }

  /** What the log has cleared is written some time: until then the media says more than is true, which is safe. */
  async cleared(extents: Iterable<number>): Promise<void> {
    for (const e of extents) this.#stale.add(Math.floor(e / EXTENTS_PER_PAGE));
    if (this.#stale.size > 0) await this.#write();
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#recordTurn;
    await this.#store.close();
  }

  #untilDurable(extent: number): Promise<void> {
    if (this.#failed) return Promise.reject(this.#failed);
    this.#stale.add(Math.floor(extent / EXTENTS_PER_PAGE));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ extent, resolve, reject });
    this.#write().catch(() => undefined);
    return promise;
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writePages();
    return this.#writing;
  }

  async #writePages(): Promise<void> {
    // `#writing` is set before anything here may end; and what is asked for in the same turn shares the write.
    await undefined;
    try {
      while (this.#stale.size > 0) {
        if (this.#failed) throw this.#failed;
        const pages = [...this.#stale];
        const isOurs = (extent: number): boolean => pages.includes(Math.floor(extent / EXTENTS_PER_PAGE));
        this.#stale.clear();
        const waiters = this.#waiters;
        this.#waiters = [];
        // From the first byte on the media may say the old or the new: only what both say is durable.
        for (const e of this.#durable) if (isOurs(e) && !this.log.suspects.has(e)) this.#durable.delete(e);
        const written = [...this.log.suspects].filter(isOurs);
        try {
          await Promise.all(
            pages.map((page) => this.#store.write(MAP_AT + page * METADATA_PAGE_BYTES, encodeMapPage(page, this.#life, written))),
          );
          await this.#store.flush();
        } catch (e) {
          // A flush that failed is never tried again: nothing cold may be written any more.
          this.#failed = e as Error;
          for (const w of waiters) w.reject(this.#failed);
          throw e;
        }
        for (const e of written) this.#durable.add(e);
        for (const w of waiters) w.resolve();
      }
      // In the same turn as the last look at what is stale: who comes next must find no writing under way.
      this.#writing = undefined;
    } catch (e) {
      this.#writing = undefined;
      for (const w of this.#waiters.splice(0)) w.reject(e as Error);
      throw e;
    }
  }
}

export function newGeneration(): string {
  return randomBytes(8).toString('hex');
}
