// The durable journal of the secondary: the primary's writes by interval, commits, and what a takeover merges. Written in order; a loss
// of power cuts it off somewhere behind what was synced last.
import type { Random } from '../random.ts';
import type { Content } from './medium.ts';

export type Entry =
  | { kind: 'write'; interval: number; block: number; content: Content }
  | { kind: 'commit'; interval: number }
  | { kind: 'overlay'; block: number; content: Content }
  | { kind: 'takeOver' };

export class Journal {
  #entries: Entry[] = [];
  /** In stable storage. */
  #synced = 0;
  /** Ended; behind them are those that are under way. */
  #ended = 0;

  append(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** All that was appended by now has ended. */
  ended(count: number): void {
    this.#ended = Math.max(this.#ended, Math.min(count, this.#entries.length));
  }

  get length(): number {
    return this.#entries.length;
  }

  synced(count: number): void {
    this.#synced = Math.max(this.#synced, Math.min(count, this.#entries.length));
    this.ended(count);
  }

  /** Intervals up to this one are on stable media of the disk. */
  free(interval: number): void {
    const keep = (e: Entry): boolean => (e.kind === 'write' || e.kind === 'commit') && e.interval > interval;
    const [before, ended] = [this.#entries.slice(0, this.#synced), this.#entries.slice(0, this.#ended)];
    this.#entries = this.#entries.filter(keep);
    this.#synced = before.filter(keep).length;
    this.#ended = ended.filter(keep).length;
  }

  reset(): void {
    this.#entries = [];
    this.#synced = 0;
    this.#ended = 0;
  }

  /** What a start writes to the disk, in this order. */
  recover(isAll: boolean): { block: number; content: Content }[] {
    const isTakenOver = this.#entries.some((e) => e.kind === 'takeOver');
    const committed = this.#entries.reduce((n, e) => (e.kind === 'commit' ? Math.max(n, e.interval) : n), 0);
    const found: { block: number; content: Content }[] = [];
    for (const e of this.#entries) {
      if (e.kind === 'write' && (e.interval <= committed || (isAll && !isTakenOver))) found.push(e);
      else if (e.kind === 'overlay' && isTakenOver) found.push(e);
    }
    return found;
  }

  processEnded(random: Random): void {
    this.#cut(Math.floor(random.between(this.#ended, this.#entries.length + 1)));
  }

  powerLost(random: Random): void {
    this.#cut(Math.floor(random.between(this.#synced, this.#entries.length + 1)));
    this.#synced = this.#entries.length;
  }

  #cut(length: number): void {
    this.#entries.length = Math.min(length, this.#entries.length);
    this.#ended = this.#entries.length;
    this.#synced = Math.min(this.#synced, this.#ended);
  }
}
