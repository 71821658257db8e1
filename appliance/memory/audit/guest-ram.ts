// The guest's RAM, read through the engine's own file of it.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { PAGE_BYTES } from '../codec.ts';
import type { PageReader } from './page-sampler.ts';

/** As drivers/qemu `findGuestMemory` gives it. */
export interface GuestMemory {
  path: string;
  sizeBytes: number;
}

export class GuestRam implements PageReader {
  readonly #file: number;
  #buffer = Buffer.alloc(PAGE_BYTES);
  #closed = false;

  /** Throws when the file cannot be opened or has another size, naming it. */
  constructor(memory: GuestMemory) {
    try {
      this.#file = openSync(memory.path, 'r');
    } catch (error) {
      throw new Error(`audit: cannot read the guest's RAM: ${(error as Error).message}: does the engine run?`);
    }
    const { size } = fstatSync(this.#file);
    if (size === memory.sizeBytes) return;
    this.close();
    throw new Error(`audit: ${memory.path} has ${size} bytes, the guest's RAM ${memory.sizeBytes}`);
  }

  read(firstPage: number, count: number): Buffer {
    // The number may belong to another file by now.
    if (this.#closed) throw new Error("audit: the guest's RAM is closed");
    const length = count * PAGE_BYTES;
    if (this.#buffer.length < length) this.#buffer = Buffer.alloc(length);
    const bytes = readSync(this.#file, this.#buffer, 0, length, firstPage * PAGE_BYTES);
    if (bytes !== length) throw new Error(`audit: ${bytes} of ${length} bytes of the guest's RAM at page ${firstPage}`);
    return this.#buffer.subarray(0, length);
  }

  /** While it is open, the memory of an engine that has ended is not given back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }
}
