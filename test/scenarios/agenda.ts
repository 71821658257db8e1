// What will happen when, on paper: the time jumps from one entry to the next.

export class Agenda {
  now = 0;
  #order = 0;
  readonly #entries: { at: number; order: number; run: () => void }[] = [];

  /** Entries of the same moment run in the order in which they were made. */
  in(ms: number, run: () => void): void {
    this.#entries.push({ at: this.now + ms, order: this.#order++, run });
  }

  /** Up to `end`, or until `stop` says so after an entry. */
  runUntil(end: number, stop: () => boolean): void {
    while (!stop()) {
      let next = this.#entries[0];
      for (const e of this.#entries) if (next && (e.at < next.at || (e.at === next.at && e.order < next.order))) next = e;
      if (!next || next.at > end) {
        this.now = end;
        return;
      }
      this.#entries.splice(this.#entries.indexOf(next), 1);
      this.now = next.at;
      next.run();
    }
  }
}
