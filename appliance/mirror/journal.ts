// The journal on its two segments: appends in order, flushes, switches segments so that a finished one can be reused,
// and reads back what a crash left.
//
// Two segments, because the primary never stops writing: while one is filled, the other's committed records are written
// back to the disk; then it is blank again. A segment may be written over only when it is durably blank, and the older
// one is always blanked first: a crash in between leaves the newer records alone, never the older ones.
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import {
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeRecordHeader,
  encodeSegmentHeader,
  hasData,
  type JournalRecord,
  RECORD_HEADER_BYTES,
  RECORD_MAX_BYTES,
  type RecordKind,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './journal-codec.ts';
import { PatchMap } from './patch-map.ts';

/** A segment that has grown to this is left at the next commit. Bounds what is replayed after a crash to about twice this. */
const SWITCH_BYTES = 64 * 1024 * 1024;
/** Records that wait while a write runs go out together, up to this size: the disk has room for others in between. */
const BATCH_BYTES = 4 * 1024 * 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;

interface Segment {
  readonly store: BlockStore;
  /** Where the next record goes; 0: blank. */
  tail: number;
  blank: boolean;
  /** Counts of batches, to know whether a flush is due. */
  written: number;
  flushed: number;
}

interface Batch {
  segment: Segment;
  at: number;
  parts: Uint8Array[];
  bytes: number;
  done: Promise<void>;
  resolve: () => void;
  reject: (e: unknown) => void;
}

/** What a crash left: the disk becomes right by writing `patches` over it. */
export interface Recovered {
  /** The last commit that the journal tells of; 0: it tells of none, as all was written back. */
  committed: number;
  /** A takeover's overlay is part of the patches. */
  tookOver: boolean;
  patches: PatchMap;
  /** Bytes that records carry, twice where two carry the same. */
  replayed: number;
  discarded: number;
}

export class Journal {
  readonly #segments: readonly [Segment, Segment];
  readonly #diskBytes: number;
  #active: Segment;
  #life = newLife();
  #sequence = 1;
  #committed = 0;
  readonly #queue: Batch[] = [];
  #pumping = false;
  #last: Promise<void> = Promise.resolve();
  #failed: Error | undefined;

  readonly #switchBytes: number;

  private constructor(segments: readonly [Segment, Segment], diskBytes: number, switchBytes: number) {
    this.#switchBytes = switchBytes;
    this.#segments = segments;
    this.#active = segments[0];
    this.#diskBytes = diskBytes;
  }

  /** Reads what is there and changes nothing: write `recovered.patches` to the disk, flush it, then call `reset`. */
  static async open(
    stores: readonly [BlockStore, BlockStore],
    diskBytes: number,
    switchBytes: number = SWITCH_BYTES,
  ): Promise<{ journal: Journal; recovered: Recovered }> {
    const segment = (store: BlockStore): Segment => ({ store, tail: 0, blank: true, written: 0, flushed: 0 });
    const journal = new Journal([segment(stores[0]), segment(stores[1])], diskBytes, switchBytes);
    return { journal, recovered: await journal.#recover() };
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.#segments[0].tail + this.#segments[1].tail;
  }

  /** The order of calls is the order of records. `at`: where the data is in `file`. */
  append(
    kind: RecordKind,
    interval: number,
    offset: number,
    length: number,
    data: readonly Uint8Array[] = [],
    release = false,
  ): { file: BlockStore; at: number; done: Promise<void> } {
    const s = this.#active;
    let dataBytes = 0;
    let dataCrc = 0;
    for (const d of data) {
      dataBytes += d.length;
      dataCrc = crc32(d, dataCrc);
    }
    if (hasData(kind) ? dataBytes !== length || length > RECORD_MAX_BYTES : dataBytes !== 0)
      throw new Error(`a ${kind} record of ${length} with ${dataBytes} bytes`);
    const header = s.tail === 0 ? SEGMENT_HEADER_BYTES : 0;
    if (s.tail + header + RECORD_HEADER_BYTES + dataBytes > s.store.sizeBytes) {
      const full = new StoreError(
        'noSpace',
        'write',
        s.tail,
        `the journal is full (${s.store.sizeBytes} bytes): no checkpoint was committed for too long`,
        'ENOSPC',
      );
      return { file: s.store, at: 0, done: rejected(this.#fail(full)) };
    }
    const parts: Uint8Array[] = [];
    const at = s.tail;
    if (header > 0) {
      parts.push(
        encodeSegmentHeader({
          blank: false,
          life: this.#life,
          firstSequence: this.#sequence,
          committed: this.#committed,
          diskBytes: this.#diskBytes,
        }),
      );
      s.blank = false;
    }
    parts.push(encodeRecordHeader({ kind, release, sequence: this.#sequence++, interval, offset, length, dataCrc }, this.#life), ...data);
    s.tail += header + RECORD_HEADER_BYTES + dataBytes;
    return {
      file: s.store,
      at: at + header + RECORD_HEADER_BYTES,
      done: this.#enqueue(s, at, parts, header + RECORD_HEADER_BYTES + dataBytes),
    };
  }

  /** Ends when everything appended before is durable. */
  async sync(): Promise<void> {
    await this.#last;
    if (this.#failed) throw this.#failed;
    await Promise.all(this.#segments.map((s) => this.#flush(s)));
  }

  /**
   * After a commit: if the active segment has grown and the other is blank, that is the active one from now on.
   * True: the old one can be given to `freeOther` as soon as its records are on the disk, durably.
   */
  switchSegment(committed: number): boolean {
    const other = this.#active === this.#segments[0] ? this.#segments[1] : this.#segments[0];
    if (this.#active.tail < this.#switchBytes || !other.blank) return false;
    this.#committed = committed;
    this.#active = other;
    return true;
  }

  /** Blanks the segment that is not active. */
  async freeOther(): Promise<void> {
    const other = this.#active === this.#segments[0] ? this.#segments[1] : this.#segments[0];
    await this.#blank(other);
  }

  /** Everything that counts is on the disk, durably: the journal is durably empty afterwards and starts a new life. */
  async reset(): Promise<void> {
    await this.#last.catch(() => {});
    if (this.#failed) throw this.#failed;
    await this.freeOther();
    await this.#blank(this.#active);
    this.#active = this.#segments[0];
    this.#life = newLife();
    this.#sequence = 1;
    this.#committed = 0;
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
    await Promise.all(this.#segments.map((s) => s.store.close()));
  }

  #enqueue(segment: Segment, at: number, parts: Uint8Array[], bytes: number): Promise<void> {
    if (this.#failed) return rejected(this.#failed);
    const tail = this.#queue.at(-1);
    if (tail && tail.segment === segment && tail.bytes + bytes <= BATCH_BYTES) {
      tail.parts.push(...parts);
      tail.bytes += bytes;
      return tail.done;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ segment, at, parts, bytes, done: promise, resolve, reject });
    this.#last = promise;
    // Whoever appended hears of a failure; `sync` does too.
    promise.catch(() => {});
    if (!this.#pumping) void this.#pump();
    return promise;
  }

  /** One write at a time: what was acknowledged has no hole before it. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    for (let b = this.#queue.shift(); b; b = this.#queue.shift()) {
      try {
        if (this.#failed) throw this.#failed;
        await b.segment.store.write(b.at, ...b.parts);
        b.segment.written++;
        b.resolve();
      } catch (e) {
        b.reject(this.#fail(e as Error));
      }
    }
    this.#pumping = false;
  }

  async #flush(s: Segment): Promise<void> {
    const written = s.written;
    if (s.flushed >= written) return;
    try {
      await s.store.flush();
      s.flushed = Math.max(s.flushed, written);
    } catch (e) {
      throw this.#fail(e as Error);
    }
  }

  async #blank(s: Segment): Promise<void> {
    if (s.blank) return;
    try {
      await s.store.write(0, encodeSegmentHeader({ blank: true, life: 0n, firstSequence: 0, committed: 0, diskBytes: this.#diskBytes }));
      await s.store.flush();
    } catch (e) {
      throw this.#fail(e as Error);
    }
    s.flushed = s.written;
    s.tail = 0;
    s.blank = true;
  }

  /** A journal that lost one record takes no more. */
  #fail(e: Error): Error {
    this.#failed ??= e;
    return this.#failed;
  }

  async #recover(): Promise<Recovered> {
    const found: { segment: Segment; header: SegmentHeader }[] = [];
    for (const segment of this.#segments) {
      const header = decodeSegmentHeader(await segment.store.read(0, SEGMENT_HEADER_BYTES));
      if (!header || header.blank) continue;
      segment.blank = false;
      segment.tail = SEGMENT_HEADER_BYTES;
      if (header.diskBytes !== this.#diskBytes) {
        throw new Error(
          `the journal belongs to a disk of ${header.diskBytes} bytes, this one has ${this.#diskBytes}: set the size back, or remove the journal's files if this copy is to be made anew`,
        );
      }
      found.push({ segment, header });
    }
    found.sort((a, b) => a.header.firstSequence - b.header.firstSequence);
    const first = found[0];
    const recovered: Recovered = {
      committed: first?.header.committed ?? 0,
      tookOver: false,
      patches: new PatchMap(),
      replayed: 0,
      discarded: 0,
    };
    if (!first) return recovered;
    this.#active = found.at(-1)?.segment ?? first.segment;
    const records: { record: JournalRecord; file: BlockStore; at: number }[] = [];
    let next = first.header.firstSequence;
    for (const { segment, header } of found) {
      // A gap: the end of the segment before was lost with the power, so nothing here was ever promised to anybody.
      if (header.life !== first.header.life || header.firstSequence !== next) break;
      for await (const r of readSegment(segment.store, header)) {
        if (r.record.offset + r.record.length > this.#diskBytes)
          throw new Error(`journal record ${r.record.sequence} is outside of the disk: this copy must be made anew`);
        records.push({ ...r, file: segment.store });
        next = r.record.sequence + 1;
      }
    }
    for (const { record: r } of records) {
      if (r.kind === 'commit' || r.kind === 'takeOver') recovered.committed = Math.max(recovered.committed, r.interval);
      if (r.kind === 'takeOver') recovered.tookOver = true;
    }
    const overlay = new PatchMap();
    for (const { record: r, file, at } of records) {
      if (r.kind === 'commit' || r.kind === 'takeOver') continue;
      const isOverlay = r.kind === 'overlayWrite' || r.kind === 'overlayZero';
      // Whoever reads this has lost the guest's memory. So what the primary was told is flushed counts, also if no checkpoint covers it:
      // the disk is as the primary's would be after a loss of power. Only who took over has a view of its own.
      if (isOverlay ? !recovered.tookOver : recovered.tookOver && r.interval > recovered.committed) {
        recovered.discarded += r.length;
        continue;
      }
      recovered.replayed += r.length;
      (isOverlay ? overlay : recovered.patches).insert(
        r.offset,
        r.offset + r.length,
        hasData(r.kind) ? { kind: 'file', file, at } : { kind: 'zero', release: r.release },
      );
    }
    recovered.patches.absorb(overlay);
    return recovered;
  }
}

async function* readSegment(store: BlockStore, header: SegmentHeader): AsyncGenerator<{ record: JournalRecord; at: number }> {
  let window: Buffer = Buffer.alloc(0);
  let windowAt = 0;
  const bytes = async (at: number, length: number): Promise<Buffer> => {
    if (at < windowAt || at + length > windowAt + window.length) {
      windowAt = at;
      window = await store.read(at, Math.min(store.sizeBytes - at, Math.max(length, WINDOW_BYTES)));
    }
    return window.subarray(at - windowAt, at - windowAt + length);
  };
  let at = SEGMENT_HEADER_BYTES;
  for (let sequence = header.firstSequence; at + RECORD_HEADER_BYTES <= store.sizeBytes; sequence++) {
    const record = decodeRecordHeader(await bytes(at, RECORD_HEADER_BYTES), header.life, sequence);
    if (!record) return;
    at += RECORD_HEADER_BYTES;
    if (!hasData(record.kind)) {
      yield { record, at };
      continue;
    }
    if (at + record.length > store.sizeBytes || crc32(await bytes(at, record.length)) !== record.dataCrc) return;
    yield { record, at };
    at += record.length;
  }
}

/** Durably: nothing of what they have is ever replayed. */
export async function blankSegments(stores: readonly BlockStore[]): Promise<void> {
  for (const store of stores) {
    await store.zero(0, SEGMENT_HEADER_BYTES);
    await store.flush();
  }
}

/** Its caller may listen to `sync` only. */
function rejected(e: Error): Promise<void> {
  const p = Promise.reject(e);
  p.catch(() => {});
  return p;
}

function newLife(): bigint {
  return randomBytes(8).readBigUInt64BE(0);
}
