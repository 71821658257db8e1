// The primary's half of the audit: is what was sent still what the guest has?
//
// While the guest is stopped for a checkpoint, some of its pages are read. When the checkpoint is complete each of them must be what was
// sent last, now or earlier. A difference has one explanation: the engine did not notice a write. One sighting is proof.
import { PageLedger } from './page-ledger.ts';
import { type PageReader, PageSampler } from './page-sampler.ts';
import type { PageDifference } from './suspects.ts';

/** ms of the guest's pause per checkpoint: some 600 pages; at 20 checkpoints a second 1 GiB is looked at in 20-30 s. */
const SAMPLE_MS = 1;

export class SourceAudit {
  readonly #ledger: PageLedger;
  readonly #sampler: PageSampler;
  readonly #sampleMs: number;
  /** Page and checksum in turn, of the stopped guest. */
  #found: number[] = [];
  #differing = 0;

  constructor(sizeBytes: number, reader: PageReader, nowMs: () => number, sampleMs = SAMPLE_MS) {
    this.#ledger = new PageLedger(sizeBytes);
    this.#sampler = new PageSampler(this.#ledger.pages, reader, nowMs);
    this.#sampleMs = sampleMs;
  }

  get status(): { checkedPages: number; totalPages: number; differing: number } {
    return { checkedPages: this.#sampler.checkedPages, totalPages: this.#ledger.pages, differing: this.#differing };
  }

  /** A page passes on its way to the secondary, in `interval` (0: the synchronisation). */
  sent(page: number, crc: number, interval: number): void {
    this.#ledger.sent(page, crc, interval);
  }

  /** The guest has stopped (VMSTATE_SEND): reads the next pages. Their judgement waits for the end of the checkpoint. */
  stopped(): void {
    this.#found = [];
    this.#sampler.sample(this.#sampleMs, (page, crc) => this.#found.push(page, crc));
  }

  /** The checkpoint of `interval` was read whole: the first page that differs, if one does. */
  judge(interval: number): PageDifference | undefined {
    const found = this.#found;
    this.#found = [];
    let first: PageDifference | undefined;
    for (let i = 0; i + 1 < found.length; i += 2) {
      const page = found[i] ?? 0;
      const foundCrc = found[i + 1] ?? 0;
      const expectedCrc = this.#ledger.crcOf(page);
      if (foundCrc === expectedCrc) continue;
      this.#differing++;
      first ??= { side: 'primary', page, expectedCrc, foundCrc, sinceInterval: this.#ledger.sinceOf(page), interval };
    }
    return first;
  }
}
