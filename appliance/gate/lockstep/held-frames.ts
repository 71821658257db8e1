// The primary's frames that wait, in the order of the guest, within a limit. Pure: who may leave is decided in primary.ts.
//
//   list    of the interval that is compared; the released ones are taken out now and then
//   early   read before the commit of the interval in front of theirs (or never to be committed)
import { HELD_FRAME_OVERHEAD_BYTES, HELD_LIMIT_BYTES } from './api.ts';
import type { HeldSegment } from './connection.ts';

export interface HeldFrame {
  frame: Buffer;
  interval: number;
  at: number;
  released: boolean;
  /** Null: opaque, waits for the commit. */
  content: string | null;
}

export type Held = HeldFrame | HeldSegment;

export interface EarlyFrame {
  frame: Buffer;
  tag: number;
  at: number;
}

const frameOf = (h: Held): Buffer => ('segment' in h ? h.segment.frame : h.frame);

export class HeldFrames {
  #list: Held[] = [];
  #releasedInList = 0;
  #early: EarlyFrame[] = [];
  /** Held frames that belong to no connection. */
  others = 0;
  #datagrams = new Map<string, HeldFrame[]>();
  frames = 0;
  bytes = 0;

  get list(): readonly Held[] {
    return this.#list;
  }

  /** False: no room. */
  add(h: Held): boolean {
    const frame = frameOf(h);
    if (!this.#hasRoom(frame.length)) return false;
    this.#count(frame);
    this.#list.push(h);
    if ('segment' in h) return true;
    this.others++;
    if (h.content === null) return true;
    const same = this.#datagrams.get(h.content);
    if (same) same.push(h);
    else this.#datagrams.set(h.content, [h]);
    return true;
  }

  /** False: no room. */
  addEarly(e: EarlyFrame): boolean {
    if (!this.#hasRoom(e.frame.length)) return false;
    this.#count(e.frame);
    this.#early.push(e);
    return true;
  }

  /** It came from takeEarly, where it had its room. */
  putBack(e: EarlyFrame): void {
    this.#count(e.frame);
    this.#early.push(e);
  }

  takeEarly(): EarlyFrame[] {
    const early = this.#early;
    this.#early = [];
    for (const { frame } of early) this.#uncount(frame);
    return early;
  }

  /** The oldest held datagram with this content. */
  findDatagram(content: string): HeldFrame | undefined {
    return this.#datagrams.get(content)?.[0];
  }

  /** It leaves now. Answers its frame. */
  release(h: Held): Buffer {
    h.released = true;
    const frame = frameOf(h);
    this.#releasedInList++;
    this.#uncount(frame);
    if ('segment' in h) return frame;
    this.others--;
    if (h.content !== null) this.#forgetDatagram(h.content, h);
    return frame;
  }

  #forgetDatagram(content: string, h: HeldFrame): void {
    const same = this.#datagrams.get(content);
    if (!same) return;
    const i = same.indexOf(h);
    if (i >= 0) same.splice(i, 1);
    if (same.length === 0) this.#datagrams.delete(content);
  }

  /** Taken out in bulk, so that each frame is moved a bounded number of times. */
  tidy(): void {
    if (this.#releasedInList === this.#list.length) this.#list = [];
    else if (this.#releasedInList > 64 && this.#releasedInList * 2 > this.#list.length) this.#list = this.#list.filter((h) => !h.released);
    else return;
    this.#releasedInList = 0;
  }

  /** All of the list was released; what is early stays. */
  clearList(): void {
    this.#list = [];
    this.#releasedInList = 0;
    this.#datagrams.clear();
  }

  clear(): void {
    this.clearList();
    this.#early = [];
    this.others = 0;
    this.frames = 0;
    this.bytes = 0;
  }

  /** ms that the oldest waits; 0 when nothing does. */
  oldestMs(nowMs: number): number {
    const first = this.#list.find((h) => !h.released) ?? this.#early[0];
    return first ? nowMs - first.at : 0;
  }

  #hasRoom(bytes: number): boolean {
    return this.bytes + bytes + HELD_FRAME_OVERHEAD_BYTES <= HELD_LIMIT_BYTES;
  }

  #count(frame: Buffer): void {
    this.frames++;
    this.bytes += frame.length + HELD_FRAME_OVERHEAD_BYTES;
  }

  #uncount(frame: Buffer): void {
    this.frames--;
    this.bytes -= frame.length + HELD_FRAME_OVERHEAD_BYTES;
  }
}
