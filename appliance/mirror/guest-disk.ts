// The guest's disk as the NBD server exports it: where a request goes in each mode, and when it may be acknowledged.
//
//   solo      this disk
//   source    this disk and the partner's, at the same time; acknowledged when both have it
//   replica   the Replica's overlay; while it takes over, writes wait
//
// A failed request of a source is not answered: the guest must not see the fault of one copy. It is reported, and the
// core lets the partner take over, or ends it by `goSolo` (then the guest gets the error). Alone, the error waits until the core has had
// the time to freeze the guest. A read that fails is answered from the other copy (repair.ts, follower.ts).
//
// Nor does a replica's guest see the fault of its copy: what cannot be read or kept here because the disk or a file beside it is over is
// reported and not answered, until this copy is closed, or has taken over and the guest runs from it alone.
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import type { NbdExport, ZeroesOrder } from '../../drivers/nbd/index.ts';
import { blockOf, blockSums, blocksIn, SUM_BLOCK_BYTES, writeWithSums } from './block-sums.ts';
import { ChangeHold } from './change-hold.ts';
import { isBadRead } from './checked-store.ts';
import { MESSAGE_MAX_DATA_BYTES } from './messages.ts';
import type { Metadata } from './metadata.ts';
import type { Partner, PartnerRequest } from './partner.ts';
import type { Quarantine } from './quarantine.ts';
import { type LockEntry, RangeLock } from './range-lock.ts';
import type { Replica } from './replica.ts';
import { LostBlockError, SourceGoneError } from './source-reads.ts';
import { SilentDiskError } from './watched-store.ts';
import type { WriteLatencies } from './write-latencies.ts';
import { spaceOf } from './write-runs.ts';

/** Zeroes are one request up to this size: the message's length has 32 bits. */
const ZERO_MAX_BYTES = 1024 * 1024 * 1024;
/** A checkpoint is as long as many round trips: it overtakes one now and then, not so many in turn. */
const REPLACE_ATTEMPTS = 20;
/**
 * Alone, from the first failure of the disk on: the core freezes what the guest says within some ms of hearing of it (row 26), so that
 * nobody sees what the guest makes of the error. Only where it does not, as while the guest shuts down, this runs out: and then it gets on.
 */
export const ALONE_ERROR_HOLD_MS = 5_000;

export interface GuestDiskParts {
  disk: BlockStore;
  metadata: Metadata;
  /** The present interval. */
  interval(): number;
  onError(e: StoreError): void;
  /** A write ends only when it is in stable storage on both. */
  isWriteThrough: boolean;
  /** A write has ended. */
  written(): void;
  /** Blocks whose content nobody knows. */
  quarantine: Quarantine;
  /** A whole block of these was overwritten, on both copies. */
  healed(offset: number, length: number): void;
  /** What must be durable before a write to the range besides the metadata; undefined: nothing. */
  prepare?(offset: number, length: number): Promise<unknown> | undefined;
  /** Other than ALONE_ERROR_HOLD_MS in tests. */
  aloneErrorHoldMs: number | undefined;
  /** A read failed: the range from the other copy where this one has lost it. replica: as it sees its own. */
  rescue(e: StoreError, offset: number, length: number, replica: Replica | undefined): Promise<Buffer>;
  /** replica: what belongs to its guest's world cannot be had here any more: this copy is over, whatever failed. */
  onReplicaOver(e: Error): void;
}

/** What a request of the guest changes: to `data`, or to zeroes. */
interface Change {
  offset: number;
  length: number;
  data?: Buffer;
  /** Of the data: computed once, for both copies. */
  sums?: Uint32Array;
  release?: boolean;
}

export class GuestDisk implements NbdExport {
  readonly name = 'disk0';
  readonly description = "the guest's disk";
  readonly multiConnection = true;
  readonly sizeBytes: number;
  readonly lock = new RangeLock();
  /** Totals. */
  reads = 0;
  writes = 0;
  flushes = 0;
  writtenBytes = 0;
  /** Set: source. */
  partner: Partner | undefined;
  #replica: Replica | undefined;
  /** Who waits until this is no replica any more. */
  #onNoReplica: (() => void)[] = [];
  /** Set: how long writes take is wanted. */
  latencies: WriteLatencies | undefined;
  /** Set: writes wait for its end. */
  gate: Promise<void> | undefined;
  readonly changes = new ChangeHold();
  readonly #parts: GuestDiskParts;
  readonly #disk: BlockStore;
  /** Alone, the disk has failed: ends when errors are handed on. */
  #undecided: Promise<void> | undefined;

  constructor(parts: GuestDiskParts) {
    this.#parts = parts;
    this.#disk = parts.disk;
    this.sizeBytes = parts.disk.sizeBytes;
  }

  /** Set: replica. */
  get replica(): Replica | undefined {
    return this.#replica;
  }

  set replica(replica: Replica | undefined) {
    this.#replica = replica;
    if (!replica) for (const go of this.#onNoReplica.splice(0)) go();
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.reads++;
    return await this.#read(offset, length);
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    const held = this.#parts.quarantine.beforeRead(offset, length, this.#isOwn);
    if (held) await held;
    const { replica } = this;
    try {
      return await (replica ?? this.#disk).read(offset, length);
    } catch (e) {
      if (!isBadRead(e)) {
        this.#parts.onError(e as StoreError);
        throw e;
      }
      if (replica) return await this.#rescueReplica(e, offset, length, replica);
      try {
        return await this.#parts.rescue(e, offset, length, undefined);
      } catch (lost) {
        if (e instanceof SilentDiskError && !this.partner) await this.#decided();
        throw lost;
      }
    }
  }

  async #rescueReplica(error: StoreError, offset: number, length: number, replica: Replica): Promise<Buffer> {
    try {
      return await this.#parts.rescue(error, offset, length, replica);
    } catch (e) {
      if (e instanceof LostBlockError) throw e;
      await this.#noReplica(e as Error, replica);
      return await this.#read(offset, length);
    }
  }

  /** Whoever waits when this copy is closed is dropped with his connection. */
  async #noReplica(e: Error, replica: Replica): Promise<void> {
    if (this.#replica !== replica) return;
    if (!(e instanceof SourceGoneError)) this.#parts.onReplicaOver(e);
    await new Promise<void>((go) => this.#onNoReplica.push(go));
  }

  write(offset: number, data: Buffer, fua: boolean): Promise<void> {
    const interval = this.#received(data.length);
    const held = this.#parts.quarantine.beforeWrite(offset, data.length, this.#isOwn);
    // Most writes wait for nothing of this: each promise and each step less is felt by all of them.
    if (!held && !this.gate && !this.replica && !this.latencies)
      return this.#change(interval, { offset, length: data.length, data, sums: blockSums(offset, data) }, fua);
    return this.#writeWhenFree(held, interval, offset, data, fua);
  }

  async #writeWhenFree(held: Promise<void> | undefined, interval: number, offset: number, data: Buffer, fua: boolean): Promise<void> {
    if (held) await held;
    // Private: summed when it becomes part of the copy.
    const sums = this.replica ? undefined : blockSums(offset, data);
    if (this.gate) await this.gate;
    const change: Change = { offset, length: data.length, data, ...(sums ? { sums } : {}) };
    const { replica } = this;
    if (replica) await this.#writePrivately(replica, offset, data, fua);
    else if (!this.latencies) await this.#change(interval, change, fua);
    else {
      const beganMs = performance.now();
      await this.#change(interval, change, fua);
      this.latencies?.add(performance.now() - beganMs);
    }
  }

  async #writePrivately(replica: Replica, offset: number, data: Buffer, fua: boolean): Promise<void> {
    try {
      await replica.guestWrite(offset, data);
    } catch (e) {
      // More than it may write between two checkpoints is its own doing.
      if (e instanceof StoreError && e.kind === 'noSpace') throw e;
      await this.#noReplica(e as Error, replica);
      await this.write(offset, data, fua);
    }
  }

  async writeZeroes(offset: number, length: number, fua: boolean, order: ZeroesOrder): Promise<void> {
    await this.#zero(offset, length, fua, !order.noHole);
  }

  /** Offered whatever the two disks can: the range reads as zero on both afterwards, and each gives back what space it can. */
  async trim(offset: number, length: number, fua: boolean): Promise<void> {
    await this.#zero(offset, length, fua, true);
  }

  async #zero(offset: number, length: number, fua: boolean, release: boolean): Promise<void> {
    const interval = this.#received(length);
    const held = this.#parts.quarantine.beforeWrite(offset, length, this.#isOwn);
    if (held) await held;
    if (this.gate) await this.gate;
    if (this.replica) this.replica.guestZero(offset, length, release);
    else await this.#change(interval, { offset, length, release }, fua);
  }

  /** What the secondary's guest writes is private and need not survive anything before it takes over. */
  async flush(): Promise<void> {
    this.flushes++;
    if (this.gate) await this.gate;
    if (this.replica) return;
    const { partner } = this;
    await this.#both(partner, this.#disk.flush(), partner?.hold({ kind: 'flush' }));
  }

  /** The interval of a write is the one it was received in. */
  #received(bytes: number): number {
    this.writes++;
    this.writtenBytes += bytes;
    return this.#parts.interval();
  }

  async #change(interval: number, change: Change, fua: boolean): Promise<void> {
    const { offset, length } = change;
    for (let wait = this.changes.enter(interval); wait; wait = this.changes.enter(interval)) await wait;
    const { entry, wait } = this.lock.enter(offset, offset + length);
    try {
      if (wait) await this.#locked(entry, wait);
      await this.#changeLocked(interval, change, fua || this.#parts.isWriteThrough);
    } finally {
      this.lock.leave(entry);
      this.changes.leave();
    }
    if (this.#parts.quarantine.hasWhole(offset, length)) this.#parts.healed(offset, length);
  }

  /** The partner has its time for what it is asked by whoever is waited for. */
  async #locked(entry: LockEntry, wait: Promise<void>): Promise<void> {
    const held = this.lock.before(entry);
    const over = this.partner?.keepsWaiting(held.start, held.end);
    await wait;
    over?.();
  }

  /** As a write of the guest, but for what is written: the answer of `data`, which is asked for with the range locked. */
  async replace(offset: number, length: number, data: () => Promise<Buffer>): Promise<void> {
    for (let attempt = 1; attempt <= REPLACE_ATTEMPTS; attempt++) {
      const interval = this.#parts.interval();
      let done = false;
      await this.changes.run(interval, () =>
        this.lock.with(offset, offset + length, async () => {
          done = await this.rewrite(offset, await data(), interval);
        }),
      );
      if (done) return;
    }
    throw new Error(`the block at ${offset} was not written: checkpoints overtook it ${REPLACE_ATTEMPTS} times. Try it again`);
  }

  /**
   * Not of the guest: these bytes on both copies, from now on. Whoever calls it holds the lock of the range. False: the interval ended
   * before they could be written. No checkpoint waits for who is not the guest, so a later one's commit may not have them.
   */
  async rewrite(offset: number, data: Buffer, interval = this.#parts.interval()): Promise<boolean> {
    const sums = blockSums(offset, data);
    const change = { offset, length: data.length, data, ...(sums ? { sums } : {}) };
    return await this.#changeLocked(interval, change, true, () => this.#parts.interval() === interval);
  }

  async #changeLocked(interval: number, change: Change, fua: boolean, mayGo?: () => boolean): Promise<boolean> {
    const { offset, length } = change;
    const { metadata } = this.#parts;
    const cold = metadata.begin(offset, length, interval);
    const unready = this.#parts.prepare?.(offset, length);
    try {
      if (cold || unready) await this.#both(this.partner, Promise.all([cold, unready]), undefined);
      if (mayGo && !mayGo()) return false;
      await this.#changeBoth(interval, change, fua);
      return true;
    } finally {
      metadata.end(offset, length);
      this.#parts.written();
    }
  }

  #changeBoth(interval: number, change: Change, fua: boolean): Promise<void> {
    const { partner } = this;
    const held = partner ? requests(interval, change, fua).map((r) => partner.hold(r)) : [];
    const there = held.length > 1 ? Promise.all(held) : held[0];
    return this.#both(partner, this.#changeHere(change, fua), there);
  }

  #changeHere({ offset, length, data, sums, release = false }: Change, fua: boolean): Promise<void> {
    const changed = data ? writeWithSums(this.#disk, offset, sums, data) : this.#disk.zero(offset, length, spaceOf(release));
    return fua ? changed.then(() => this.#disk.flush()) : changed;
  }

  #both(partner: Partner | undefined, here: Promise<unknown>, there: Promise<unknown> | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      let open = there ? 2 : 1;
      let error: StoreError | undefined;
      const ended = (): void => {
        if (--open > 0) return;
        if (!error) resolve();
        else (partner?.released ?? this.#decided()).then(() => reject(error));
      };
      here.then(ended, (e: StoreError) => {
        this.#parts.onError(e);
        error = e;
        ended();
      });
      there?.then(ended, reject);
    });
  }

  #decided(): Promise<void> {
    const ms = this.#parts.aloneErrorHoldMs ?? ALONE_ERROR_HOLD_MS;
    this.#undecided ??= new Promise((resolve) => void setTimeout(resolve, ms).unref());
    return this.#undecided;
  }

  /** What the secondary's guest has written as a whole since the checkpoint it knows, as the primary's guest may have done too. */
  readonly #isOwn = (start: number): boolean => this.replica?.isOwn(start, SUM_BLOCK_BYTES) ?? false;
}

function requests(interval: number, { offset, length, data, sums, release = false }: Change, fua: boolean): PartnerRequest[] {
  if (data && sums && length <= SUM_BLOCK_BYTES) return [{ kind: 'write', interval, offset, length, fua, data, sums }];
  const step = data ? MESSAGE_MAX_DATA_BYTES : ZERO_MAX_BYTES;
  const list: PartnerRequest[] = [];
  const first = blockOf(offset);
  for (let at = 0, end = 0; at < length; at = end) {
    // Cut between blocks, so that a sum is of one request.
    end = Math.min(length, Math.floor((offset + at + step) / SUM_BLOCK_BYTES) * SUM_BLOCK_BYTES - offset);
    const from = blockOf(offset + at) - first;
    list.push({
      kind: data ? 'write' : 'zero',
      interval,
      offset: offset + at,
      length: end - at,
      fua,
      ...(data ? { data: data.subarray(at, end) } : { release }),
      ...(sums ? { sums: sums.subarray(from, from + blocksIn(offset + at, end - at)) } : {}),
    });
  }
  return list;
}
