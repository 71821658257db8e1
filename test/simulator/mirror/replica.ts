// The secondary's copy while both guests run (appliance/mirror/replica.ts): the primary's writes by interval in the journal, and the
// private writes of the secondary's own guest above them.
import type { Copy, Ended, Opened } from './copy.ts';
import type { Journal } from './journal.ts';
import { type Content, extentOf } from './medium.ts';

export class Replica {
  readonly #copy: Copy;
  readonly #o: Opened;
  readonly #journal: Journal;
  readonly #isLockstep: boolean;
  /** Journaled, not committed; oldest first. */
  #open: { interval: number; block: number; content: Content }[] = [];
  /** Committed, not written back. */
  readonly #patch = new Map<number, Content>();
  readonly overlay = new Map<number, Content>();
  #decided = 0;
  #committed = 0;
  /** On the disk, as far as writes have ended. */
  writtenBack = 0;
  #isWritingBack = false;
  #whenWritten: Ended[] = [];
  isEnding = false;
  /** The primary's writes have been of interval 1 or later. */
  isJournaling = false;

  /** @param isLockstep The secondary's guest does what the primary's does, at the same time. */
  constructor(copy: Copy, o: Opened, journal: Journal, isLockstep: boolean) {
    this.#isLockstep = isLockstep;
    this.#copy = copy;
    this.#o = o;
    this.#journal = journal;
  }

  latest(block: number): Content | undefined {
    for (let i = this.#open.length - 1; i >= 0; i--) if (this.#open[i]?.block === block) return this.#open[i]?.content;
    return this.#patch.get(block);
  }

  visible(block: number): Content | undefined {
    return this.overlay.get(block) ?? this.#patch.get(block);
  }

  /** What lies on the disk is not read. */
  hides(block: number): boolean {
    return this.#patch.has(block);
  }

  /** Ends when this side has it: interval 0 on the disk, others in the journal. */
  write(interval: number, block: number, content: Content, done: () => void, failed: () => void): void {
    if (interval === 0) {
      this.#copy.write(this.#o, block, content, done, failed);
      return;
    }
    if (interval <= this.#decided || this.isEnding) {
      failed();
      return;
    }
    this.isJournaling = true;
    this.#journal.append({ kind: 'write', interval, block, content });
    this.#open.push({ interval, block, content });
    if (this.#isLockstep) this.overlay.set(block, content);
    const { length } = this.#journal;
    this.#copy.io(
      this.#o,
      () => {
        this.#journal.ended(length);
        done();
      },
      failed,
    );
  }

  /** What the secondary's own guest does between two checkpoints, when it does not do what the primary's does. */
  guestWrites(content: Content, block: number): void {
    if (!this.isEnding) this.overlay.set(block, content);
  }

  flush(done: () => void, failed: () => void): void {
    this.#sync(() => this.#copy.flush(this.#o, done, failed), failed);
  }

  #sync(done: () => void, failed: () => void): void {
    const { length } = this.#journal;
    this.#copy.io(
      this.#o,
      () => {
        this.#journal.synced(length);
        done();
      },
      failed,
    );
  }

  /** Decided, loaded, applied: the answer. */
  commit(interval: number, done: () => void, failed: () => void): void {
    if (interval <= this.#decided || this.isEnding) {
      failed();
      return;
    }
    this.#decided = interval;
    const commit = (): void => {
      this.#journal.append({ kind: 'commit', interval });
      this.#sync(() => {
        if (this.#committed < interval) this.#apply(interval);
        done();
      }, failed);
    };
    // The first commit stands on the writes of interval 0.
    if (this.#committed === 0) this.#copy.flush(this.#o, commit, failed);
    else commit();
  }

  #apply(interval: number): void {
    for (const w of this.#open) if (w.interval <= interval) this.#patch.set(w.block, w.content);
    this.#open = this.#open.filter((w) => w.interval > interval);
    this.#committed = interval;
    this.overlay.clear();
    this.#writeBack();
  }

  /** While the guests run again. */
  #writeBack(): void {
    if (this.#isWritingBack) return;
    if (this.#patch.size === 0) {
      this.writtenBack = this.#committed;
      for (const ended of this.#whenWritten.splice(0)) ended(true);
      return;
    }
    this.#isWritingBack = true;
    const interval = this.#committed;
    const list = [...this.#patch].map(([block, content]) => ({ block, content }));
    const failed = (): void => {
      for (const ended of this.#whenWritten.splice(0)) ended(false);
    };
    this.#copy.writeAll(this.#o, list, (ok) => {
      if (!ok) {
        failed();
        return;
      }
      for (const { block, content } of list) if (this.#patch.get(block) === content) this.#patch.delete(block);
      this.writtenBack = interval;
      this.#copy.flush(
        this.#o,
        () => {
          this.#journal.free(interval);
          this.#isWritingBack = false;
          this.#writeBack();
        },
        failed,
      );
    });
  }

  #whenAllWritten(ended: Ended): void {
    this.#whenWritten.push(ended);
    this.#writeBack();
  }

  /** What the primary had not committed goes; what its own guest wrote becomes part of the copy. */
  takeOver(merging: (extents: readonly number[], merged: Ended) => void, ended: Ended): void {
    this.isEnding = true;
    const wait = (): void => {
      if (this.#decided > this.#committed) this.#apply(this.#decided);
      this.#open = [];
      const list = [...this.overlay].map(([block, content]) => ({ block, content }));
      merging([...new Set(list.map(({ block }) => extentOf(block)))], (ok) => {
        if (!ok) {
          ended(false);
          return;
        }
        for (const w of list) this.#journal.append({ kind: 'overlay', ...w });
        this.#journal.append({ kind: 'takeOver' });
        const failed = (): void => ended(false);
        const write = (): void =>
          this.#copy.writeAll(this.#o, list, (ok) => {
            if (!ok) {
              ended(false);
              return;
            }
            this.#copy.flush(
              this.#o,
              () => {
                this.#journal.reset();
                ended(true);
              },
              failed,
            );
          });
        this.#sync(() => this.#whenAllWritten((ok) => (ok ? write() : ended(false))), failed);
      });
    };
    wait();
  }

  /** Planned: this copy takes every write the primary made, and goes on following it. */
  collapse(ended: Ended): void {
    const last = Math.max(this.#decided, ...this.#open.map((w) => w.interval));
    this.isEnding = true;
    this.#journal.append({ kind: 'commit', interval: last });
    const failed = (): void => ended(false);
    this.#sync(() => {
      this.#apply(last);
      this.#whenAllWritten((ok) => {
        if (!ok) {
          ended(false);
          return;
        }
        this.#copy.flush(
          this.#o,
          () => {
            this.#journal.reset();
            ended(true);
          },
          failed,
        );
      });
    }, failed);
  }
}
