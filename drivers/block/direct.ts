// Reads and writes past the page cache (O_DIRECT): at borders of the medium's blocks, from memory that begins at a page.
//
// The memory is a WebAssembly.Memory, which the engine maps page by page: no native code is needed. Its slots are as many as requests
// may run, so none ever waits for one. A request that does not begin and end at a border has its edge blocks read first, and written
// back with the new bytes in them; two requests that share such a block, and no byte, follow each other.
import assert from 'node:assert';

/** Of one request's part: what a resync and the largest message carry. */
const SLOT_BYTES = 1024 * 1024;
const WASM_PAGE_BYTES = 64 * 1024;
/** Memory that begins at a page fits every medium of up to this block size. */
export const LARGEST_UNIT_BYTES = 4096;

export interface DirectCalls {
  /** Bytes read; 0 at the end of the file. Rejects with a StoreError. */
  pread(buffer: Buffer, at: number, length: number, position: number): Promise<number>;
  pwrite(buffer: Buffer, at: number, length: number, position: number): Promise<number>;
  /** The error of a medium that takes no more bytes, or ends too early. */
  ended(operation: 'read' | 'write', position: number): Error;
}

export class DirectIo {
  /** Of the medium: requests begin and end at multiples of it. */
  readonly unitBytes: number;
  readonly #calls: DirectCalls;
  readonly #free: Buffer[];
  /** Edge blocks in use, and the end of the last request that waits for each. */
  readonly #edges = new Map<number, Promise<void>>();

  /** @param slots Requests at a time, which the caller counts. */
  constructor(unitBytes: number, slots: number, calls: DirectCalls) {
    assert(unitBytes <= LARGEST_UNIT_BYTES && LARGEST_UNIT_BYTES % unitBytes === 0, `blocks of ${unitBytes} bytes`);
    this.unitBytes = unitBytes;
    this.#calls = calls;
    const pages = (slots * SLOT_BYTES) / WASM_PAGE_BYTES;
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#free = Array.from({ length: slots }, (_, i) => Buffer.from(buffer, i * SLOT_BYTES, SLOT_BYTES));
  }

  async read(into: Buffer, offset: number): Promise<void> {
    const end = offset + into.length;
    await this.#withSlot(async (slot) => {
      for (let at = offset; at < end; ) {
        const start = this.#below(at);
        const stop = Math.min(end, start + SLOT_BYTES);
        await this.#readWhole(slot, 0, start, this.#above(stop), stop);
        slot.copy(into, at - offset, at - start, stop - start);
        at = stop;
      }
    });
  }

  async write(offset: number, length: number, parts: readonly Uint8Array[]): Promise<void> {
    const source = new Parts(parts);
    const end = offset + length;
    await this.#withSlot(async (slot) => {
      for (let at = offset; at < end; ) {
        const start = this.#below(at);
        const stop = Math.min(end, start + SLOT_BYTES);
        const above = this.#above(stop);
        const edges: number[] = [];
        if (start < at) edges.push(start);
        if (stop < above && edges[0] !== above - this.unitBytes) edges.push(above - this.unitBytes);
        await this.#withEdges(edges, async () => {
          for (const edge of edges) await this.#readWhole(slot, edge - start, edge, edge + this.unitBytes, edge + this.unitBytes);
          source.copy(slot, at - start, stop - at);
          await this.#writeWhole(slot, start, above);
        });
        at = stop;
      }
    });
  }

  /** @param needed Up to here; the medium may end before `end`. */
  async #readWhole(slot: Buffer, to: number, start: number, end: number, needed: number): Promise<void> {
    for (let at = start; at < needed; ) {
      const n = await this.#calls.pread(slot, to + at - start, end - at, at);
      if (n === 0) throw this.#calls.ended('read', at);
      at = at + n >= needed ? needed : this.#below(at + n);
    }
  }

  async #writeWhole(slot: Buffer, start: number, end: number): Promise<void> {
    for (let at = start; at < end; ) {
      const n = this.#below(await this.#calls.pwrite(slot, at - start, end - at, at));
      if (n === 0) throw this.#calls.ended('write', at);
      at += n;
    }
  }

  async #withSlot(work: (slot: Buffer) => Promise<void>): Promise<void> {
    const slot = this.#free.pop();
    assert(slot, 'more requests than slots');
    try {
      await work(slot);
    } finally {
      this.#free.push(slot);
    }
  }

  /** In ascending order, so that two requests never wait for each other. */
  async #withEdges(edges: readonly number[], work: () => Promise<void>): Promise<void> {
    const [edge, ...rest] = edges;
    if (edge === undefined) {
      await work();
      return;
    }
    const before = this.#edges.get(edge);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#edges.set(edge, promise);
    if (before) await before;
    try {
      await this.#withEdges(rest, work);
    } finally {
      if (this.#edges.get(edge) === promise) this.#edges.delete(edge);
      resolve();
    }
  }

  #below(at: number): number {
    return at - (at % this.unitBytes);
  }

  #above(at: number): number {
    return this.#below(at + this.unitBytes - 1);
  }
}

/** Parts, taken one after the other. */
class Parts {
  readonly #parts: readonly Uint8Array[];
  #part = 0;
  #at = 0;

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts;
  }

  copy(to: Buffer, at: number, length: number): void {
    while (length > 0) {
      const part = this.#parts[this.#part];
      assert(part, 'fewer bytes than were announced');
      const n = Math.min(length, part.length - this.#at);
      to.set(part.subarray(this.#at, this.#at + n), at);
      at += n;
      length -= n;
      this.#at += n;
      if (this.#at === part.length) {
        this.#part++;
        this.#at = 0;
      }
    }
  }
}
