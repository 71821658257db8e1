// What a session remembers, without any socket: what was sent and not yet acknowledged (Outbox), what came too early (Inbox).
//
// Pure. Every message costs its bytes plus a fixed overhead, so that a flood of tiny messages is bounded by the same window.
import { FrameError } from './codec.ts';

/** What a kept message occupies besides its bytes, roughly: objects, array slots, a header. */
export const MESSAGE_OVERHEAD_BYTES = 128;

/** No link carries it at the moment. */
export const NO_LINK = -1;

export interface Outgoing {
  sequence: number;
  parts: Uint8Array[];
  bytes: number;
  cost: number;
  /** The link it was last written to. */
  link: number;
  acknowledged: boolean;
}

/** The messages that the partner has not acknowledged, in order; hands them out for transmission, again when their link was lost. */
export class Outbox {
  #messages: Outgoing[] = [];
  #head = 0;
  #nextSequence = 1;
  /** Index in #messages of the first message never transmitted. */
  #unsent = 0;
  #lost: Outgoing[] = [];
  #lostHead = 0;
  #cost = 0;
  #inFlightCost = 0;
  #windowBytes: number;

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
  }

  /** Cost of everything unacknowledged. */
  get cost(): number {
    return this.#cost;
  }

  get count(): number {
    return this.#messages.length - this.#head;
  }

  /** What may be under way at once: beyond it the partner would have to close the connection. */
  set windowBytes(value: number) {
    this.#windowBytes = value;
  }

  get untouched(): boolean {
    return this.#nextSequence === 1;
  }

  add(parts: Uint8Array[]): void {
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    const cost = bytes + MESSAGE_OVERHEAD_BYTES;
    this.#messages.push({ sequence: this.#nextSequence++, parts, bytes, cost, link: NO_LINK, acknowledged: false });
    this.#cost += cost;
  }

  /** The next message to write to `link`, or undefined: nothing to send, or the window is under way. */
  take(link: number): Outgoing | undefined {
    while (this.#lostHead < this.#lost.length) {
      const message = this.#lost[this.#lostHead];
      if (message && !message.acknowledged) {
        if (!this.#fits(message)) return undefined;
        this.#lostHead++;
        return this.#send(message, link);
      }
      this.#lostHead++;
    }
    const message = this.#messages[this.#unsent];
    if (!message || !this.#fits(message)) return undefined;
    this.#unsent++;
    return this.#send(message, link);
  }

  #fits(message: Outgoing): boolean {
    return this.#inFlightCost === 0 || this.#inFlightCost + message.cost <= this.#windowBytes;
  }

  #send(message: Outgoing, link: number): Outgoing {
    message.link = link;
    this.#inFlightCost += message.cost;
    return message;
  }

  /** Forgets everything up to `sequence`. True: something was forgotten. Throws FrameError when it was never transmitted. */
  acknowledge(sequence: number): boolean {
    let progress = false;
    while (true) {
      const message = this.#messages[this.#head];
      if (!message || message.sequence > sequence) break;
      if (this.#head >= this.#unsent) break;
      message.acknowledged = true;
      if (message.link !== NO_LINK) this.#inFlightCost -= message.cost;
      this.#cost -= message.cost;
      message.parts = [];
      this.#head++;
      progress = true;
    }
    const next = this.#messages[this.#unsent]?.sequence ?? this.#nextSequence;
    if (sequence >= next) throw new FrameError(`message ${sequence} is acknowledged, the last one sent is ${next - 1}`);
    if (this.#head > 1024 && this.#head * 2 > this.#messages.length) {
      this.#messages = this.#messages.slice(this.#head);
      this.#unsent -= this.#head;
      this.#head = 0;
    }
    return progress;
  }

  /** What was written to `link` and not acknowledged will be handed out again, first. Returns how many messages that is. */
  loseLink(link: number): number {
    let count = 0;
    const lost: Outgoing[] = [];
    for (let i = this.#head; i < this.#unsent; i++) {
      const message = this.#messages[i];
      if (!message) continue;
      if (message.link === link) {
        message.link = NO_LINK;
        this.#inFlightCost -= message.cost;
        count++;
      }
      if (message.link === NO_LINK) lost.push(message);
    }
    this.#lost = lost;
    this.#lostHead = 0;
    return count;
  }

  clear(): void {
    this.#messages = [];
    this.#head = 0;
    this.#nextSequence = 1;
    this.#unsent = 0;
    this.#lost = [];
    this.#lostHead = 0;
    this.#cost = 0;
    this.#inFlightCost = 0;
  }
}

/** Puts arriving messages into order, each exactly once. `offer`, then `take` until it answers undefined. */
export class Inbox {
  readonly #windowBytes: number;
  readonly #waiting = new Map<number, Buffer>();
  #delivered = 0;
  #next: Buffer | undefined;
  #waitingCost = 0;

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
  }

  /** The number of the last message handed out: everything up to it may be acknowledged. */
  get delivered(): number {
    return this.#delivered;
  }

  get waitingCost(): number {
    return this.#waitingCost;
  }

  /** Throws FrameError when more waits than the partner was told it may send. */
  offer(sequence: number, payload: Buffer): 'new' | 'duplicate' {
    if (sequence <= this.#delivered || this.#waiting.has(sequence)) return 'duplicate';
    if (sequence === this.#delivered + 1) {
      if (this.#next) return 'duplicate';
      this.#next = payload;
      return 'new';
    }
    const cost = payload.length + MESSAGE_OVERHEAD_BYTES;
    // One message may be larger than the window: it is then alone under way.
    if (this.#waitingCost > 0 && this.#waitingCost + cost > this.#windowBytes) {
      throw new FrameError(
        `${this.#waitingCost + cost} bytes wait for message ${this.#delivered + 1}: more than the window of ${this.#windowBytes}`,
      );
    }
    this.#waiting.set(sequence, payload);
    this.#waitingCost += cost;
    return 'new';
  }

  take(): Buffer | undefined {
    const sequence = this.#delivered + 1;
    let payload = this.#next;
    if (payload) this.#next = undefined;
    else {
      payload = this.#waiting.get(sequence);
      if (!payload) return undefined;
      this.#waiting.delete(sequence);
      this.#waitingCost -= payload.length + MESSAGE_OVERHEAD_BYTES;
    }
    this.#delivered = sequence;
    return payload;
  }

  clear(): void {
    this.#waiting.clear();
    this.#delivered = 0;
    this.#next = undefined;
    this.#waitingCost = 0;
  }
}
