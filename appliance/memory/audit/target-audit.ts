// The secondary's half of the audit: does the replica's engine have what it was given?
//
// Between REPLY and the checkpoint's way to the engine the replica stands still, and the processor has time: pages are read and compared
// with the ledger as of the last load. What differs is suspected; what proves a fault is in suspects.ts.
import { PageLedger } from './page-ledger.ts';
import { type PageReader, PageSampler } from './page-sampler.ts';
import { type PageDifference, Suspects } from './suspects.ts';

/** ms per turn of the event loop, so that the stream goes on between two turns, and ms in all at one stop. */
const TURN_MS = 0.5;
const SAMPLE_MS = 4;

export class TargetAudit {
  readonly #ledger: PageLedger;
  readonly #sampler: PageSampler;
  readonly #nowMs: () => number;
  readonly #sampleMs: number;
  readonly #suspects: Suspects;
  #leftMs = 0;
  #checkedInRound = 0;
  #differing = 0;

  /** @param isFed The replica gets every input of the primary's (lockstep). */
  constructor(sizeBytes: number, reader: PageReader, nowMs: () => number, isFed: boolean, sampleMs = SAMPLE_MS) {
    this.#ledger = new PageLedger(sizeBytes);
    this.#sampler = new PageSampler(this.#ledger.pages, reader, nowMs);
    this.#nowMs = nowMs;
    this.#sampleMs = sampleMs;
    this.#suspects = new Suspects(this.#ledger, isFed);
  }

  get status(): { checkedPages: number; totalPages: number; differing: number } {
    return { checkedPages: this.#sampler.checkedPages, totalPages: this.#ledger.pages, differing: this.#differing };
  }

  /** A page of the synchronisation: it goes to the engine at once. */
  sent(page: number, crc: number): void {
    this.#ledger.sent(page, crc, 0);
  }

  /** A page of the checkpoint in collection. */
  staged(page: number, crc: number): void {
    this.#ledger.stage(page, crc);
  }

  /** The replica has stopped at the end of `interval` (REPLY), and stands still until `loading`. */
  stopped(interval: number): PageDifference | undefined {
    this.#leftMs = this.#sampleMs;
    const proven = this.#suspects.sight(interval, (page) => this.#sampler.crcOf(page), this.#nowMs());
    if (proven) this.#differing++;
    return proven;
  }

  /** One turn of the sample. True: another one is wanted while the replica stands. */
  sample(): boolean {
    const before = this.#sampler.checkedPages;
    this.#sampler.sample(Math.min(TURN_MS, this.#leftMs), (page, crc) => {
      if (crc !== this.#ledger.crcOf(page)) this.#suspects.add(page, crc, this.#nowMs());
    });
    this.#checkedInRound += this.#sampler.checkedPages - before;
    if (this.#checkedInRound >= this.#ledger.pages) {
      this.#checkedInRound = 0;
      this.#suspects.newRound();
      return false;
    }
    this.#leftMs -= TURN_MS;
    return this.#leftMs > 0;
  }

  /** The checkpoint of `interval` goes to the engine. True: `look` is wanted at every turn until `loaded`. */
  loading(interval: number): boolean {
    this.#ledger.applyStaged(interval);
    return this.#suspects.loading(this.#nowMs());
  }

  look(): boolean {
    return this.#suspects.look(this.#nowMs(), (page) => this.#sampler.crcOf(page));
  }

  /** The engine has read the whole checkpoint (RECEIVED). */
  received(): void {
    this.#suspects.received(this.#nowMs());
  }

  /** The engine says LOADED. */
  loaded(): void {
    this.#suspects.loaded(this.#nowMs());
  }
}
