// What the guest may expect of its disk: per block the writes that it may still find there. The world was told of some of them
// (acknowledged), of fewer that they are safe from a loss of all power (flushed). There is one guest, wherever it runs.
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { BLOCKS, type Content } from './medium.ts';

interface Line {
  /** Oldest first: what was last flushed, and everything since. */
  writes: Content[];
  acknowledged: Content;
  /** When it was asked for: the partner may have had it, answered, and lost its power before the guest was told. */
  at: number;
}

export class Ledger {
  /** Where the guest runs, or ran last. */
  owner: CoServerName | null = null;
  /** Counts writes. */
  #last: Content = 0;
  readonly #lines: Line[] = Array.from({ length: BLOCKS }, () => ({ writes: [0], acknowledged: 0, at: 0 }));
  /** Writes of a guest that ended, and that the next one did not find. */
  readonly #dead = new Set<Content>();
  readonly #issued = new Map<Content, number>();

  issue(by: CoServerName, block: number, now: number): Content {
    const content = ++this.#last;
    this.#issued.set(content, now);
    // A guest that is held while another one took over does not know of it.
    if (by === this.owner) this.line(block).writes.push(content);
    else this.#dead.add(content);
    return content;
  }

  /** A write of the secondary's own guest: nobody but a takeover makes it part of the disk. */
  issueOwn(): Content {
    return ++this.#last;
  }

  /** The secondary takes over: what its own guest wrote is merged, from here on. */
  merge(overlay: ReadonlyMap<number, Content>): void {
    for (const [block, content] of overlay) {
      const { writes } = this.line(block);
      if (!writes.includes(content)) writes.push(content);
    }
  }

  line(block: number): Line {
    const line = this.#lines[block];
    if (!line) throw new Error(`block ${block}`);
    return line;
  }

  isDead(content: Content): boolean {
    return this.#dead.has(content);
  }

  /** How many of the writes of the block are older than what the world was told last. */
  isAcknowledged(block: number, found: Content): boolean {
    const { writes, acknowledged } = this.line(block);
    return writes.includes(found) && writes.indexOf(found) >= writes.indexOf(acknowledged);
  }

  acknowledge(block: number, content: Content): void {
    const line = this.line(block);
    if (line.writes.indexOf(content) <= line.writes.indexOf(line.acknowledged)) return;
    line.acknowledged = content;
    line.at = this.#issued.get(content) ?? 0;
  }

  /** Of all blocks: what was acknowledged to the guest by now. */
  flush(contents: readonly (Content | null)[]): void {
    for (const [block, content] of contents.entries()) {
      if (content === null) continue;
      const line = this.line(block);
      const at = line.writes.indexOf(content);
      if (at > line.writes.indexOf(line.acknowledged)) line.acknowledged = content;
      if (at > 0) line.writes.splice(0, at);
    }
  }

  /** This is the disk from here on. */
  found(block: number, content: Content, now: number): void {
    const line = this.line(block);
    // What is before it may still come back: nobody has said that this one is flushed.
    const at = line.writes.indexOf(content);
    for (const later of line.writes.splice(at < 0 ? 1 : at + 1)) this.#dead.add(later);
    if (at < 0) line.writes.push(content);
    this.#dead.delete(content);
    line.acknowledged = content;
    line.at = now;
  }
}
