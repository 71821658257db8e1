// Ranges of the disk in use by a change. A change that overlaps an earlier one waits until that has ended: so that both
// copies see overlapping writes in the same order, and a resync never overtakes a write. First come, first served.

type Over = (() => void) | undefined;

export interface LockEntry {
  readonly start: number;
  readonly end: number;
  /** Set while it waits. */
  go: (() => void) | undefined;
}

/**
 * The list is searched from its start: the engine has at most 16 requests open per connection, our server takes 256,
 * a resync a few. Reads take no lock: what a read returns of a write that has not ended is undefined on any disk.
 */
export class RangeLock {
  readonly #entries = new Set<LockEntry>();

  /** Undefined: the lock is held now. Else it is held when the promise ends. Either way: `leave` with the entry. */
  enter(start: number, end: number): { entry: LockEntry; wait: Promise<void> | undefined } {
    const entry: LockEntry = { start, end, go: undefined };
    const free = this.#isFree(entry);
    this.#entries.add(entry);
    if (free) return { entry, wait: undefined };
    const wait = new Promise<void>((resolve) => {
      entry.go = resolve;
    });
    return { entry, wait };
  }

  leave(entry: LockEntry): void {
    this.#entries.delete(entry);
    for (const e of this.#entries) {
      if (!e.go || e.end <= entry.start || e.start >= entry.end || !this.#isFree(e)) continue;
      const go = e.go;
      e.go = undefined;
      go();
    }
  }

  /**
   * Runs `change` with the range locked. waits: called if it has to wait, with the range that all whom it waits for have locked; what it
   * answers is called when the wait is over.
   */
  async with<T>(start: number, end: number, change: () => Promise<T>, waits?: (start: number, end: number) => Over): Promise<T> {
    const { entry, wait } = this.enter(start, end);
    if (wait) {
      const held = this.before(entry);
      const over = waits?.(held.start, held.end);
      await wait;
      over?.();
    }
    try {
      return await change();
    } finally {
      this.leave(entry);
    }
  }

  /** From the first byte to the last of the earlier entries that overlap, which have no gap outside of this one. */
  before(entry: LockEntry): { start: number; end: number } {
    let { start, end } = entry;
    for (const e of this.#entries) {
      if (e === entry) break;
      if (e.start >= entry.end || e.end <= entry.start) continue;
      start = Math.min(start, e.start);
      end = Math.max(end, e.end);
    }
    return { start, end };
  }

  /** No earlier entry overlaps. */
  #isFree(entry: LockEntry): boolean {
    for (const e of this.#entries) {
      if (e === entry) return true;
      if (e.start < entry.end && e.end > entry.start) return false;
    }
    return true;
  }
}
