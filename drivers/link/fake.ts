// Two channels in memory, joined: for the tests of everything that talks over a Channel.
//
// The contract of types.ts holds: order, exactly once, window and drain, up and down, reset. Delivery takes a turn of the event
// loop, as on a real link, unless `hold` stops it. `cut` is a lost partner: nothing more arrives on either side until `mend`.
import { EventEmitter } from 'node:events';
import type { Channel, ChannelEvents } from './types.ts';

const DEFAULT_WINDOW_BYTES = 8 * 1024 * 1024;

export class FakeChannel extends EventEmitter<ChannelEvents> implements Channel {
  /** Every verdict that was passed in, for assertions. */
  readonly verdicts: { link: number; up: boolean }[] = [];
  /** Messages sent since the last reset, for assertions; a copy of each. */
  readonly sent: Buffer[] = [];
  closed = false;
  #partner: FakeChannel | undefined;
  readonly #windowBytes: number;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #full = false;
  #up = false;
  #held = false;
  #scheduled = false;
  #freshByPartner = false;

  constructor(windowBytes: number) {
    super();
    this.#windowBytes = windowBytes;
  }

  /** Bytes that the partner has not received. */
  get unacknowledgedBytes(): number {
    return this.#queuedBytes;
  }

  get isUp(): boolean {
    return this.#up;
  }

  send(...parts: Uint8Array[]): boolean {
    if (this.closed) return true;
    const message = Buffer.concat(parts);
    this.sent.push(message);
    this.#queue.push(message);
    this.#queuedBytes += message.length;
    this.#freshByPartner = false;
    this.#full ||= this.#queuedBytes >= this.#windowBytes;
    this.#schedule();
    return !this.#full;
  }

  linkVerdict(link: number, up: boolean): void {
    this.verdicts.push({ link, up });
  }

  reset(): void {
    if (this.closed || this.#freshByPartner) return;
    this.#empty('this side ended the session', false);
    const partner = this.#partner;
    setImmediate(() => {
      if (partner && !partner.closed) partner.#empty('the partner ended the session', true);
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.setUp(false, 'closed');
    this.#partner?.setUp(false, 'the partner closed the connection');
  }

  /** What this side sends stays where it is until `release`. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#schedule();
  }

  join(partner: FakeChannel): void {
    this.#partner = partner;
  }

  setUp(up: boolean, reason: string): void {
    if (this.#up === up) return;
    this.#up = up;
    if (up) {
      this.emit('up');
      this.#schedule();
    } else this.emit('down', reason);
  }

  #empty(reason: string, byPartner: boolean): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    this.sent.length = 0;
    this.#freshByPartner = byPartner;
    this.emit('reset', reason);
    this.#room();
  }

  #room(): void {
    if (!this.#full || this.#queuedBytes >= this.#windowBytes) return;
    this.#full = false;
    this.emit('drain');
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const partner = this.#partner;
    while (partner && !partner.closed && this.#up && partner.#up && !this.#held) {
      const message = this.#queue.shift();
      if (!message) break;
      this.#queuedBytes -= message.length;
      partner.#freshByPartner = false;
      partner.emit('message', message);
    }
    this.#room();
  }
}

export interface FakePair {
  a: FakeChannel;
  b: FakeChannel;
  /** Both sides see 'down'; what is sent is kept. */
  cut(reason?: string): void;
  /** Both sides see 'up', and the session goes on. */
  mend(): void;
}

/** Joined and up already; listeners added in the same turn miss no message, but no 'up' is emitted for the start. */
export function fakePair(options: { windowBytes?: number; up?: boolean } = {}): FakePair {
  const windowBytes = options.windowBytes ?? DEFAULT_WINDOW_BYTES;
  const a = new FakeChannel(windowBytes);
  const b = new FakeChannel(windowBytes);
  a.join(b);
  b.join(a);
  const set = (up: boolean, reason: string): void => {
    a.setUp(up, reason);
    b.setUp(up, reason);
  };
  if (options.up ?? true) set(true, '');
  return { a, b, cut: (reason = 'every link is cut') => set(false, reason), mend: () => set(true, '') };
}
