// What the secondary was given: for every page of the guest's RAM a checksum of the content sent last, and the interval it was sent in.
//
// CRC-32: eight bytes of ledger for 4 KiB, and a native function. A difference that it misses (one in 2^32) is a page that the next
// round may find; a difference that is none cannot be.
import { PAGE_BYTES, ZERO_PAGE_CRC } from '../codec.ts';

export class PageLedger {
  readonly #crc: Uint32Array;
  readonly #since: Uint32Array;
  /** Of the checkpoint in collection: page and checksum in turn. No larger than the checkpoint itself. */
  #staged: number[] = [];

  /** @param sizeBytes The guest's RAM, whole pages. Interval 0 is the synchronisation. */
  constructor(sizeBytes: number) {
    if (sizeBytes <= 0 || sizeBytes % PAGE_BYTES !== 0)
      throw new RangeError(`audit: guest memory of ${sizeBytes} bytes: whole pages of ${PAGE_BYTES} bytes are needed`);
    this.#crc = new Uint32Array(sizeBytes / PAGE_BYTES).fill(ZERO_PAGE_CRC);
    this.#since = new Uint32Array(sizeBytes / PAGE_BYTES);
  }

  get pages(): number {
    return this.#crc.length;
  }

  /** Throws RangeError for a page that the guest does not have. */
  sent(page: number, crc: number, interval: number): void {
    if (page >= this.#crc.length) throw new RangeError(`page ${page} of a guest with ${this.#crc.length} pages`);
    this.#crc[page] = crc;
    this.#since[page] = interval;
  }

  /** A page of a checkpoint that is not loaded yet. */
  stage(page: number, crc: number): void {
    if (page >= this.#crc.length) throw new RangeError(`page ${page} of a guest with ${this.#crc.length} pages`);
    this.#staged.push(page, crc);
  }

  /** The checkpoint of `interval` goes to the engine: what was staged counts from now on. */
  applyStaged(interval: number): void {
    const staged = this.#staged;
    this.#staged = [];
    for (let i = 0; i + 1 < staged.length; i += 2) this.sent(staged[i] ?? 0, staged[i + 1] ?? 0, interval);
  }

  crcOf(page: number): number {
    return this.#crc[page] ?? ZERO_PAGE_CRC;
  }

  /** The interval in which the page was sent last. */
  sinceOf(page: number): number {
    return this.#since[page] ?? 0;
  }
}
