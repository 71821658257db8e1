// Reads the guest's RAM in turn, some pages at each checkpoint, so that after a while all of it was looked at.
import { crc32 } from 'node:zlib';
import { PAGE_BYTES } from '../codec.ts';

export interface PageReader {
  /** `count` pages from `firstPage` on: valid until the next call. Throws when they cannot be read. */
  read(firstPage: number, count: number): Buffer;
}

/** Pages per read: a system call's cost is small against copying 64 KiB, and the clock is looked at every 30 us. */
const BATCH_PAGES = 16;

export class PageSampler {
  readonly #pages: number;
  readonly #reader: PageReader;
  readonly #nowMs: () => number;
  #next = 0;
  #checked = 0;

  constructor(pages: number, reader: PageReader, nowMs: () => number) {
    this.#pages = pages;
    this.#reader = reader;
    this.#nowMs = nowMs;
  }

  /** How many pages were read by `sample`, in all. */
  get checkedPages(): number {
    return this.#checked;
  }

  /** At least one batch, then until `budgetMs` is used up; at most every page once. */
  sample(budgetMs: number, visit: (page: number, crc: number) => void): void {
    const end = this.#nowMs() + budgetMs;
    let left = this.#pages;
    do {
      const first = this.#next;
      const count = Math.min(BATCH_PAGES, this.#pages - first, left);
      const bytes = this.#reader.read(first, count);
      for (let i = 0; i < count; i++) visit(first + i, crc32(bytes.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)));
      this.#next = first + count === this.#pages ? 0 : first + count;
      this.#checked += count;
      left -= count;
    } while (left > 0 && this.#nowMs() < end);
  }

  /** The checksum of one page as it is now. */
  crcOf(page: number): number {
    return crc32(this.#reader.read(page, 1));
  }
}
