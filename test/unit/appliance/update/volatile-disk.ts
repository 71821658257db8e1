// A disk in memory whose power can fail: what was flushed stays; of the sectors written since, each goes back to any of the states it had.
import type { BlockStore } from '../../../../drivers/block/index.ts';
import type { Dice } from '../../../../hwqual/lab/power-loss.ts';

const SECTOR_BYTES = 512;
const ZEROES = Buffer.alloc(SECTOR_BYTES);

export class PowerCut extends Error {}

/** Writes and flushes until the power fails, for all disks that share it. */
export class Power {
  left: number;
  done = 0;
  constructor(operations = Number.POSITIVE_INFINITY) {
    this.left = operations;
  }
  use(): void {
    if (this.left <= 0) throw new PowerCut('the power failed');
    this.left -= 1;
    this.done += 1;
  }
}

export class VolatileDisk {
  readonly bytes: number;
  /** Newest last; the first one is what was flushed. */
  readonly #sectors = new Map<number, Buffer[]>();
  readonly #unflushed = new Set<number>();

  constructor(bytes: number, pieces: readonly { offset: number; data: Buffer }[] = []) {
    this.bytes = bytes;
    for (const { offset, data } of pieces) this.#write(offset, data);
    this.#flush();
  }

  store(power = new Power()): BlockStore {
    return {
      sizeBytes: this.bytes,
      read: async (offset, length) => this.read(offset, length),
      write: async (offset, ...parts) => {
        power.use();
        this.#write(offset, Buffer.concat(parts));
      },
      zero: async () => {
        throw new Error('nobody asked for zeroes');
      },
      flush: async () => {
        power.use();
        this.#flush();
      },
      close: async () => {},
    };
  }

  loseUnflushed(dice: Dice): void {
    for (const sector of this.#unflushed) {
      const states = this.#sectors.get(sector) ?? [];
      this.#sectors.set(sector, [states[dice(states.length)] ?? ZEROES]);
    }
    this.#unflushed.clear();
  }

  copy(): VolatileDisk {
    const disk = new VolatileDisk(this.bytes);
    for (const [sector, states] of this.#sectors) disk.#sectors.set(sector, [states.at(-1) ?? ZEROES]);
    return disk;
  }

  read(offset: number, length: number): Buffer {
    if (offset < 0 || offset + length > this.bytes) throw new Error(`${offset}+${length} is outside of the disk`);
    const first = Math.floor(offset / SECTOR_BYTES);
    const last = Math.ceil((offset + length) / SECTOR_BYTES);
    const parts = Array.from({ length: last - first }, (_, i) => this.#sectors.get(first + i)?.at(-1) ?? ZEROES);
    return Buffer.from(Buffer.concat(parts).subarray(offset - first * SECTOR_BYTES, offset - first * SECTOR_BYTES + length));
  }

  #write(offset: number, data: Buffer): void {
    if (offset < 0 || offset + data.length > this.bytes) throw new Error(`${offset}+${data.length} is outside of the disk`);
    for (let at = 0; at < data.length; ) {
      const sector = Math.floor((offset + at) / SECTOR_BYTES);
      const within = (offset + at) % SECTOR_BYTES;
      const part = data.subarray(at, at + SECTOR_BYTES - within);
      const states = this.#sectors.get(sector) ?? [ZEROES];
      const now = Buffer.from(states.at(-1) ?? ZEROES);
      part.copy(now, within);
      this.#sectors.set(sector, [...states, now]);
      this.#unflushed.add(sector);
      at += part.length;
    }
  }

  #flush(): void {
    for (const sector of this.#unflushed) this.#sectors.set(sector, [this.#sectors.get(sector)?.at(-1) ?? ZEROES]);
    this.#unflushed.clear();
  }
}
