// The last packed content of pages and of the device state, kept at both ends of a session and changed at both by the same batches in
// the same order. Pure.
//
// Direct-mapped: page p can only be in slot p mod slots. No history, no eviction policy: what is in it depends on nothing but the row of
// pages, so two ends that saw the same batches hold the same. A page that is not in its slot goes as it is and takes the slot.
import { PAGE_BYTES } from './codec.ts';

/** Memory on each CoServer that is in a session, taken up as pages are met: 128 MiB and 256 KiB of page numbers. */
export const CACHED_PAGES = 32_768;
/** The device state's first bytes are compared with the ones before: a PC has 20-200 KB. What is beyond (a virtual GPU) goes as it is. */
export const CACHED_STATE_BYTES = 1024 * 1024;

const WORDS = PAGE_BYTES / 4;
const NONE = -1;

export class PageCache {
  readonly #slots: number;
  readonly #content: Int32Array;
  /** Which page a slot holds; numbers go up to 2^32 - 1. */
  readonly #held: Float64Array;
  readonly #state = new Uint8Array(CACHED_STATE_BYTES);
  /** Aligned: pages begin anywhere in what is read and written. */
  readonly #words = new Int32Array(WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  /** @param slots Another number in tests only: both ends must have the same. */
  constructor(slots = CACHED_PAGES) {
    this.#slots = slots;
    this.#content = new Int32Array(slots * WORDS);
    this.#held = new Float64Array(slots).fill(NONE);
  }

  /** `page` (PAGE_BYTES) is replaced by its difference to the content before, which it becomes. Not held: left as it is. */
  difference(number: number, page: Uint8Array): void {
    this.#exchange(number, page, false);
  }

  /** The inverse of `difference`. */
  restore(number: number, page: Uint8Array): void {
    this.#exchange(number, page, true);
  }

  /** As `difference`, for device state from byte `offset` of it on. */
  stateDifference(offset: number, bytes: Uint8Array): void {
    this.#exchangeState(offset, bytes, false);
  }

  stateRestore(offset: number, bytes: Uint8Array): void {
    this.#exchangeState(offset, bytes, true);
  }

  /** @param restoring What comes out is the new content; otherwise what goes in. */
  #exchange(number: number, page: Uint8Array, restoring: boolean): void {
    const slot = number % this.#slots;
    const at = slot * WORDS;
    const [words, content] = [this.#words, this.#content];
    this.#bytes.set(page);
    if (this.#held[slot] !== number) {
      this.#held[slot] = number;
      content.set(words, at);
      return;
    }
    for (let i = 0; i < WORDS; i++) {
      const before = words[i] ?? 0;
      const after = before ^ (content[at + i] ?? 0);
      words[i] = after;
      content[at + i] = restoring ? after : before;
    }
    page.set(this.#bytes);
  }

  #exchangeState(offset: number, bytes: Uint8Array, restoring: boolean): void {
    const end = Math.min(bytes.length, CACHED_STATE_BYTES - offset);
    for (let i = 0; i < end; i++) {
      const before = bytes[i] ?? 0;
      const after = before ^ (this.#state[offset + i] ?? 0);
      bytes[i] = after;
      this.#state[offset + i] = restoring ? after : before;
    }
  }
}
