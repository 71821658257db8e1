// A disk in memory with a cache that a loss of power empties: what was not flushed is lost, kept or torn, sector by
// sector, as chance has it. Every request is a possible point of the loss.
import type { BlockStore } from '../../../../drivers/block/index.ts';

const SECTOR_BYTES = 512;

/** mulberry32: numbers in [0, 1) from a seed. */
export function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** What all stores of one machine share: the moment of the loss. */
export class Power {
  requests = 0;
  isOff = false;
  readonly lost: Promise<void>;
  readonly #lossAt: number;
  readonly #chance: () => number;
  #resolve: () => void = () => {};

  /** @param lossAt The number of the request at which power is lost. Infinity: never. */
  constructor(lossAt: number, chance: () => number) {
    this.#lossAt = lossAt;
    this.#chance = chance;
    this.lost = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** A request's way to the disk: takes a moment, or never ends. */
  async pass(): Promise<void> {
    this.requests++;
    for (let n = Math.floor(this.#chance() * 30); n > 0; n--) await undefined;
    if (this.requests > this.#lossAt && !this.isOff) {
      this.isOff = true;
      this.#resolve();
    }
    if (this.isOff) await new Promise(() => {});
  }
}

export class LosableStore implements BlockStore {
  readonly sizeBytes: number;
  readonly #power: Power;
  readonly #cache: Buffer;
  readonly #stable: Buffer;
  #unflushed: { offset: number; data: Buffer }[] = [];
  /** A disk that lies about flushes: the tests must notice. */
  readonly lies: boolean;

  constructor(power: Power, content: Buffer, lies = false) {
    this.#power = power;
    this.sizeBytes = content.length;
    this.#cache = Buffer.from(content);
    this.#stable = Buffer.from(content);
    this.lies = lies;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || offset + length > this.sizeBytes) throw new Error(`read of ${length} at ${offset}`);
    await this.#power.pass();
    return Buffer.from(this.#cache.subarray(offset, offset + length));
  }

  async write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    const data = Buffer.concat(parts);
    if (offset < 0 || offset + data.length > this.sizeBytes) throw new Error(`write of ${data.length} at ${offset}`);
    // It may reach the cache before the loss, and not be answered.
    data.copy(this.#cache, offset);
    this.#unflushed.push({ offset, data });
    await this.#power.pass();
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.write(offset, Buffer.alloc(length));
  }

  async flush(): Promise<void> {
    const before = this.#unflushed.length;
    await this.#power.pass();
    if (this.lies) return;
    for (const { offset, data } of this.#unflushed.splice(0, before)) data.copy(this.#stable, offset);
  }

  async close(): Promise<void> {}

  /** What the next start finds. */
  afterLoss(chance: () => number): Buffer {
    const keep = chance();
    for (const { offset, data } of this.#unflushed) {
      for (let at = 0; at < data.length; ) {
        const end = Math.min(data.length, at + SECTOR_BYTES - ((offset + at) % SECTOR_BYTES));
        if (chance() < keep) data.copy(this.#stable, offset + at, at, end);
        at = end;
      }
    }
    this.#unflushed = [];
    return Buffer.from(this.#stable);
  }

  get content(): Buffer {
    return this.#cache;
  }
}
