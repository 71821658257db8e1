// What is committed goes to the disk, oldest first, while the guests run. Whatever stops it stops the replica.
//
//   committed --> waiting --> writing --> on the disk --> the journal's left segment is free
//                    ^                        |
//                 behind <-- newer than a restore point that is cut here, when its interval is on the disk and nothing newer is
//
// A block that the disk has lost is rewritten between two write-backs, when nothing newer for it is on its way.
import type { BlockStore } from '../../drivers/block/index.ts';
import type { Journal } from './journal.ts';
import { PatchMap, type Piece } from './patch-map.ts';
import { writeRuns } from './write-runs.ts';

export interface WriteBackParts {
  disk: BlockStore;
  journal: Journal;
  /** The disk or the journal failed: nothing is written back any more. Once. */
  onError(e: Error): void;
}

interface Cut {
  interval: number;
  /** Never rejects. */
  run(): Promise<void>;
  drop(why: string): void;
}

export class WriteBack {
  readonly #parts: WriteBackParts;
  #committed = 0;
  /** Committed, to be written back next; and what is being written back. */
  #waiting = new PatchMap();
  #writing: PatchMap | undefined;
  /** A restore point that is to be cut when an interval is on the disk, before anything newer is. */
  #cut: Cut | undefined;
  /** Committed, newer than the interval of `#cut`, whose own is committed as well. */
  #behind = new PatchMap();
  #running: Promise<void> | undefined;
  /** No write-back begins while a block of the disk is rewritten. */
  #repairing: Promise<void> | undefined;
  /** Everything up to this interval is on the disk. */
  #writtenBack = 0;
  /** The left segment's newest interval: with it written back, the segment is free. */
  #leftInterval: number | undefined;
  #failed: Error | undefined;

  constructor(parts: WriteBackParts) {
    this.#parts = parts;
  }

  /** Why nothing can be committed here any more. */
  get failed(): Error | undefined {
    return this.#failed;
  }

  /** Everything up to this interval is on the disk, to be flushed there. */
  get writtenBack(): number {
    return this.#writtenBack;
  }

  get memoryBytes(): number {
    return this.#waiting.memoryBytes + this.#behind.memoryBytes + (this.#writing?.memoryBytes ?? 0);
  }

  /** What the disk may not have yet, oldest layer first. */
  layers(start: number, end: number): Piece[][] {
    return [this.#writing?.find(start, end) ?? [], this.#waiting.find(start, end), this.#behind.find(start, end)];
  }

  /** An interval's patches, to be committed with `commit`; ascending. They must not be used any more. */
  take(interval: number, patches: PatchMap): void {
    (this.#cut && interval > this.#cut.interval ? this.#behind : this.#waiting).absorb(patches);
  }

  /** The copy follows no longer: also what no checkpoint covers. */
  takeUncommitted(patches: PatchMap): void {
    (this.#isCutDue() ? this.#behind : this.#waiting).absorb(patches);
  }

  /** What was taken goes to the disk from now on. @param newestInterval That has been journaled. */
  commit(interval: number, newestInterval: number): void {
    this.#committed = interval;
    if (this.#leftInterval === undefined && this.#parts.journal.switchSegment(interval)) this.#leftInterval = newestInterval;
    this.#start();
  }

  /** Of an interval that is not committed. Rejects when it never will be, and when `cut` does. One at a time. */
  cutAfter(interval: number, cut: () => Promise<void>): Promise<void> {
    if (this.#cut) throw new Error('another restore point is being cut');
    return new Promise((resolve, reject) => {
      this.#cut = { interval, run: () => cut().then(resolve, reject), drop: (why) => reject(new Error(why)) };
    });
  }

  /** One that waits for its interval. */
  dropCut(why: string): void {
    if (!this.#cut || this.#cut.interval <= this.#committed) return;
    this.#cut.drop(why);
    this.#cut = undefined;
  }

  /** False: not now, as what belongs there is on its way. mayWrite: asked last, and nothing comes between it and `write`. */
  async repair(offset: number, length: number, mayWrite: () => boolean, write: () => Promise<void>): Promise<boolean> {
    while (this.#repairing) await this.#repairing.catch(() => undefined);
    if (!mayWrite() || this.layers(offset, offset + length).some((l) => l.length > 0)) return false;
    this.#repairing = write();
    try {
      await this.#repairing;
    } finally {
      this.#repairing = undefined;
    }
    return true;
  }

  /** Everything committed is written to the disk; to be flushed there. */
  async finish(): Promise<void> {
    this.#start();
    await this.#running;
    if (this.#failed) throw this.#failed;
    if (!this.#waiting.isEmpty || !this.#behind.isEmpty || this.#writing) throw new Error('committed data was left over');
  }

  #start(): void {
    if (this.#running || this.#failed || !this.#isDue()) return;
    this.#running = this.#writeAll().catch((e: Error) => {
      this.#failed ??= e;
      this.#cut?.drop(e.message);
      this.#cut = undefined;
      this.#parts.onError(e);
    });
  }

  #isDue(): boolean {
    return !this.#waiting.isEmpty || this.#isCutDue() || (this.#leftInterval !== undefined && this.#leftInterval <= this.#committed);
  }

  #isCutDue(): boolean {
    return this.#cut !== undefined && this.#cut.interval <= this.#committed;
  }

  async #writeAll(): Promise<void> {
    while (this.#isDue()) {
      await this.#repairing?.catch(() => undefined);
      this.#writing = this.#waiting;
      this.#waiting = new PatchMap();
      const cut = this.#isCutDue() ? this.#cut : undefined;
      const interval = cut ? cut.interval : this.#committed;
      await writeRuns(this.#parts.disk, this.#writing.runs());
      this.#writing = undefined;
      this.#writtenBack = interval;
      if (cut) {
        await cut.run();
        this.#cut = undefined;
        this.#waiting = this.#behind;
        this.#behind = new PatchMap();
      }
      if (this.#leftInterval !== undefined && this.#leftInterval <= interval) {
        await this.#parts.disk.flush();
        await this.#parts.journal.freeOther();
        this.#leftInterval = undefined;
      }
    }
    // In the same turn as the last look at what is waiting: an `apply` after it must find no write-back running.
    this.#running = undefined;
  }
}
