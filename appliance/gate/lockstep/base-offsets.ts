// The connections that outlived a takeover: how their numbers in the guest differ from those that the LAN knows, and the change of
// each frame of theirs, in both directions. Pure.
import { type BaseOffset, type ConnectionKey, OFFSET_LIMIT } from './api.ts';
import { add, ownCopy, parseFrame, quotedSegment, replace32, SYN, type TcpSegment, translateForGuest, translateForLan } from './segment.ts';

export class BaseOffsets {
  #base = new Map<ConnectionKey, BaseOffset>();

  get size(): number {
    return this.#base.size;
  }

  has(key: ConnectionKey): boolean {
    return this.#base.has(key);
  }

  export(): BaseOffset[] {
    return [...this.#base.values()];
  }

  import(base: readonly BaseOffset[]): void {
    this.#base = new Map(base.slice(-OFFSET_LIMIT).map((b) => [b.key, b]));
  }

  /** The guest's segment, in place. */
  forLan(s: TcpSegment): void {
    if (this.#base.size === 0) return;
    const base = this.#base.get(s.key);
    if (!base) return;
    if (s.flags & SYN && s.sequence !== base.guestIsn) {
      // Another connection with the same addresses and ports.
      this.#base.delete(s.key);
      return;
    }
    translateForLan(s, base.sequence, base.timestamp);
  }

  /** The LAN's frame as the guest understands it: itself, or a copy, because the same bytes are on their way to the partner. */
  forGuest(frame: Buffer): Buffer {
    if (this.#base.size === 0) return frame;
    const parsed = parseFrame(frame, false);
    if (parsed.kind === 'tcp') {
      const base = this.#base.get(parsed.key);
      if (!base) return frame;
      const own = ownCopy(frame);
      translateForGuest({ ...parsed, frame: own }, base.sequence, base.timestamp);
      return own;
    }
    const quoted = quotedSegment(frame);
    const base = quoted ? this.#base.get(quoted.key) : undefined;
    if (!quoted || !base) return frame;
    const own = ownCopy(frame);
    replace32(own, quoted.sequenceAt, add(own.readUInt32BE(quoted.sequenceAt), base.sequence), quoted.checksumAt, false);
    return own;
  }
}
