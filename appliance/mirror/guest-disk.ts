// The guest's disk as the NBD server exports it: where a request goes in each mode, and when it may be acknowledged.
//
//   solo      this disk
//   source    this disk and the partner's, at the same time; acknowledged when both have it
//   replica   the Replica's overlay; while it takes over, writes wait
//
// A failed request of a source is not answered: the guest must not see the fault of one copy. It is reported, and the
// core lets the partner take over, or ends it by `goSolo` (then the guest gets the error).
import type { BlockStore, StoreError } from '../../drivers/block/index.ts';
import type { NbdExport } from '../../drivers/nbd/index.ts';
import { MESSAGE_MAX_DATA_BYTES } from './messages.ts';
import type { Metadata } from './metadata.ts';
import type { Partner, PartnerRequest } from './partner.ts';
import { RangeLock } from './range-lock.ts';
import type { Replica } from './replica.ts';

/** Zeroes are one request up to this size: the message's length has 32 bits. */
const ZERO_MAX_BYTES = 1024 * 1024 * 1024;

export interface GuestDiskParts {
  disk: BlockStore;
  metadata: Metadata;
  /** The present interval. */
  interval(): number;
  onError(e: StoreError): void;
  /** A write has ended. */
  written(): void;
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
  /** Set: replica. */
  replica: Replica | undefined;
  /** Set: writes wait for its end. */
  gate: Promise<void> | undefined;
  /** Set: changes received in an interval after `after` wait for its end. */
  #hold: { after: number; until: Promise<void>; want(): void } | undefined;
  /** Changes under way; who waits until there are none. */
  #changing = 0;
  readonly #idle: (() => void)[] = [];
  readonly #parts: GuestDiskParts;
  readonly #disk: BlockStore;

  constructor(parts: GuestDiskParts) {
    this.#parts = parts;
    this.#disk = parts.disk;
    this.sizeBytes = parts.disk.sizeBytes;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.reads++;
    try {
      return await (this.replica ?? this.#disk).read(offset, length);
    } catch (e) {
      this.#parts.onError(e as StoreError);
      throw e;
    }
  }

  async write(offset: number, data: Buffer, fua: boolean): Promise<void> {
    const interval = this.#received(data.length);
    if (this.gate) await this.gate;
    if (this.replica) await this.replica.guestWrite(offset, data);
    else await this.#change(interval, offset, data.length, data, fua);
  }

  async writeZeroes(offset: number, length: number, fua: boolean): Promise<void> {
    const interval = this.#received(length);
    if (this.gate) await this.gate;
    if (this.replica) this.replica.guestZero(offset, length);
    else await this.#change(interval, offset, length, undefined, fua);
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

  /**
   * Changes of later intervals wait until `release`; -1: all that are not under way. wanted: the first one waits, `since` when.
   * One hold at a time, and a short one.
   */
  holdAfter(after: number): { wanted: Promise<void>; readonly since: number; release(): void } {
    const until = Promise.withResolvers<void>();
    const wanted = Promise.withResolvers<void>();
    const held = { wanted: wanted.promise, since: 0, release: () => {} };
    const hold = {
      after,
      until: until.promise,
      want: () => {
        held.since ||= performance.now();
        wanted.resolve();
      },
    };
    held.release = () => {
      if (this.#hold === hold) this.#hold = undefined;
      until.resolve();
    };
    this.#hold = hold;
    return held;
  }

  /** Ends when no change is under way; those that are held are not. */
  idle(): Promise<void> {
    if (this.#changing === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async #change(interval: number, offset: number, length: number, data: Buffer | undefined, fua: boolean): Promise<void> {
    while (this.#hold && interval > this.#hold.after) {
      this.#hold.want();
      await this.#hold.until;
    }
    this.#changing++;
    try {
      await this.#changeLocked(interval, offset, length, data, fua);
    } finally {
      this.#changing--;
      if (this.#changing === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async #changeLocked(interval: number, offset: number, length: number, data: Buffer | undefined, fua: boolean): Promise<void> {
    await this.lock.with(offset, offset + length, async () => {
      const { metadata } = this.#parts;
      const cold = metadata.begin(offset, length, interval);
      try {
        if (cold) await this.#both(this.partner, cold, undefined);
        await this.#changeBoth(interval, offset, length, data, fua);
      } finally {
        metadata.end(offset, length);
        this.#parts.written();
      }
    });
  }

  async #changeBoth(interval: number, offset: number, length: number, data: Buffer | undefined, fua: boolean): Promise<void> {
    const { partner } = this;
    const there = partner && Promise.all(requests(interval, offset, length, data, fua).map((r) => partner.hold(r)));
    await this.#both(partner, this.#changeHere(offset, length, data, fua), there);
  }

  async #changeHere(offset: number, length: number, data: Buffer | undefined, fua: boolean): Promise<void> {
    await (data ? this.#disk.write(offset, data) : this.#disk.zero(offset, length));
    if (fua) await this.#disk.flush();
  }

  async #both(partner: Partner | undefined, here: Promise<unknown>, there: Promise<unknown> | undefined): Promise<void> {
    const [error] = await Promise.all([
      here.then(
        () => undefined,
        (e: StoreError) => {
          this.#parts.onError(e);
          return e;
        },
      ),
      there,
    ]);
    if (!error) return;
    await partner?.released;
    throw error;
  }
}

function requests(interval: number, offset: number, length: number, data: Buffer | undefined, fua: boolean): PartnerRequest[] {
  const step = data ? MESSAGE_MAX_DATA_BYTES : ZERO_MAX_BYTES;
  const list: PartnerRequest[] = [];
  for (let at = 0; at < length; at += step) {
    const end = Math.min(length, at + step);
    list.push({
      kind: data ? 'write' : 'zero',
      interval,
      offset: offset + at,
      length: end - at,
      fua,
      ...(data ? { data: data.subarray(at, end) } : {}),
    });
  }
  return list;
}
