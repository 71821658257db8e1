// An update on its way to the partner, and from it. What is sent is what a file would have; the receiver judges it as one, and says how far it is.
// Slowly: the mirror and the checkpoints have the links and the processors first. One that is broken off is sent anew from its beginning: it takes
// half a minute, and there is no half of an update that somebody would have to trust.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel } from '../../drivers/link/index.ts';
import { UpdateRefusal } from './bundle.ts';
import { DATA_BYTES, encodeMessage, type PairMessage } from './pair-messages.ts';

/** 190 MB in 23 s: a fourteenth of a link of 1 Gbit/s, and some percent of one processor for both ends. */
export const RATE_BYTES_PER_S = 8 << 20;
/** Sent and not yet taken by the partner's disk: a slow one must not fill its memory. */
const WINDOW_BYTES = 1 << 20;
/** Of a disk that flushes its cache, or a partner whose process starts again; then it is sent anew. */
const SILENCE_MS = 60_000;
/** The last byte was taken: the disk flushes, and all of it is read back. */
const END_MS = 300_000;
/** The rate that is shown is one of the last seconds. */
const RATE_OVER_MS = 3_000;

export interface Progress {
  bytes: number;
  of: number;
  bytesPerSecond: number;
}

export type Outcome =
  | { kind: 'whole' }
  /** `reason`: a RefusalKind, or another word of a newer partner's. `here`: the sender could not read it. */
  | { kind: 'refused'; here: boolean; reason: string; text: string }
  /** Broken off, nobody's fault. */
  | { kind: 'lost'; text: string };

export interface TransferParts {
  channel: Pick<Channel, 'send'>;
  /** Takes an offered update; rejects with why not. */
  receive: (version: string, parts: AsyncIterable<Buffer>) => Promise<void>;
  onReceived: (version: string, outcome: Outcome) => void;
  rateBytesPerS?: number;
  silenceMs?: number;
  now?: () => number;
}

interface Sending {
  transfer: number;
  meter: Meter;
  taken: number;
  end: PromiseWithResolvers<Outcome>;
  /** Wakes whoever waits for room. */
  wake: () => void;
  over: Outcome | null;
}

interface Receiving {
  transfer: number;
  meter: Meter;
  queue: Buffer[];
  arrived: number;
  taken: number;
  wake: () => void;
  broken: string | null;
}

export class PairTransfer {
  readonly #p: TransferParts;
  readonly #now: () => number;
  readonly #silenceMs: number;
  #sending: Sending | null = null;
  #receiving: Receiving | null = null;

  constructor(parts: TransferParts) {
    this.#p = parts;
    this.#now = parts.now ?? (() => performance.now());
    this.#silenceMs = parts.silenceMs ?? SILENCE_MS;
  }

  /** Of what is on its way, in either direction; null: nothing is. */
  get progress(): Progress | null {
    return (this.#sending ?? this.#receiving)?.meter.progress(this.#now()) ?? null;
  }

  get isSending(): boolean {
    return this.#sending !== null;
  }

  /** `from` puts `bytes` bytes. Never rejects. */
  async send(version: string, bytes: number, from: (put: (part: Buffer) => Promise<void>) => Promise<void>): Promise<Outcome> {
    if (this.#sending) return { kind: 'lost', text: 'another one is on its way' };
    const sending: Sending = {
      transfer: randomInt(2 ** 32),
      meter: new Meter(bytes),
      taken: 0,
      end: Promise.withResolvers(),
      wake: () => {},
      over: null,
    };
    this.#sending = sending;
    const { transfer } = sending;
    this.#say({ kind: 'offer', transfer, version, bytes });
    try {
      await from((part) => this.#put(sending, part));
      const late = AbortSignal.timeout(this.#p.silenceMs ?? END_MS);
      const silence = new Promise<Outcome>((resolve) => {
        late.onabort = () => resolve({ kind: 'lost', text: 'the other CoServer does not answer' });
      });
      return await Promise.race([sending.end.promise, silence]);
    } catch (error) {
      if (sending.over) return sending.over;
      const text = (error as Error).message;
      this.#say({ kind: 'dropped', transfer, text: text.slice(0, 600) });
      const reason = error instanceof UpdateRefusal ? error.kind : 'other';
      return { kind: 'refused', here: true, reason, text };
    } finally {
      this.#sending = null;
    }
  }

  /** What was under way is over on both sides: a new session of the stream, or the operator's wish. */
  drop(text: string): void {
    if (this.#sending) {
      this.#say({ kind: 'dropped', transfer: this.#sending.transfer, text });
      this.#end(this.#sending, { kind: 'lost', text });
    }
    this.#break(text);
  }

  onMessage(m: Exclude<PairMessage, { kind: 'state' }>): void {
    const sending = this.#sending?.transfer === m.transfer ? this.#sending : null;
    const receiving = this.#receiving?.transfer === m.transfer ? this.#receiving : null;
    switch (m.kind) {
      case 'offer':
        this.#offered(m);
        return;
      case 'data':
        if (!receiving) return;
        // A view of what the stream has: it is kept until the disk has taken it.
        receiving.queue.push(Buffer.from(m.data));
        receiving.arrived += m.data.length;
        if (receiving.arrived - receiving.taken > 2 * WINDOW_BYTES) this.#break('more came than was asked for');
        receiving.wake();
        return;
      case 'dropped':
        if (receiving) this.#break(m.text);
        return;
      case 'taken':
        if (!sending) return;
        sending.taken = m.bytes;
        sending.meter.at(m.bytes, this.#now());
        sending.wake();
        return;
      case 'ended':
        if (!sending) return;
        this.#end(sending, m.refusal ? { kind: 'refused', here: false, reason: m.refusal.kind, text: m.refusal.text } : { kind: 'whole' });
        return;
      default:
        m satisfies never;
    }
  }

  #end(sending: Sending, outcome: Outcome): void {
    sending.over ??= outcome;
    sending.end.resolve(sending.over);
    sending.wake();
  }

  async #put(sending: Sending, part: Buffer): Promise<void> {
    for (let at = 0; at < part.length; at += DATA_BYTES) {
      const data = part.subarray(at, at + DATA_BYTES);
      await this.#room(sending, data.length);
      if (sending.over) throw new Error('over');
      sending.meter.sent += data.length;
      this.#say({ kind: 'data', transfer: sending.transfer, data });
      await sleep(sending.meter.pause(data.length, this.#p.rateBytesPerS ?? RATE_BYTES_PER_S, this.#now()), undefined, { ref: false });
    }
  }

  async #room(sending: Sending, bytes: number): Promise<void> {
    const isFull = () => sending.over === null && sending.meter.sent + bytes - sending.taken > WINDOW_BYTES;
    while (isFull()) {
      const before = sending.taken;
      const woken = await wait(this.#silenceMs, (wake) => {
        sending.wake = wake;
      });
      if (!woken && before === sending.taken) this.#end(sending, { kind: 'lost', text: 'the other CoServer does not take it' });
    }
  }

  #offered({ transfer, version, bytes }: Extract<PairMessage, { kind: 'offer' }>): void {
    this.#break('another one was begun');
    const receiving: Receiving = { transfer, meter: new Meter(bytes), queue: [], arrived: 0, taken: 0, wake: () => {}, broken: null };
    this.#receiving = receiving;
    const end = (outcome: Outcome, refusal: { kind: string; text: string } | null) => {
      if (this.#receiving === receiving) this.#receiving = null;
      if (receiving.broken === null) this.#say({ kind: 'ended', transfer, refusal } as Extract<PairMessage, { kind: 'ended' }>);
      this.#p.onReceived(version, outcome);
    };
    this.#p.receive(version, this.#parts(receiving)).then(
      () => end({ kind: 'whole' }, null),
      (error: Error) => {
        const reason = error instanceof UpdateRefusal ? error.kind : 'other';
        const text = error.message.slice(0, 600);
        end(receiving.broken === null ? { kind: 'refused', here: false, reason, text } : { kind: 'lost', text: receiving.broken }, {
          kind: reason,
          text,
        });
      },
    );
  }

  async *#parts(r: Receiving): AsyncGenerator<Buffer> {
    const { of } = r.meter;
    while (r.taken < of) {
      const data = r.queue.shift();
      if (data) {
        yield data;
        r.taken += data.length;
        r.meter.at(r.taken, this.#now());
        if (r.broken === null) this.#say({ kind: 'taken', transfer: r.transfer, bytes: r.taken });
        continue;
      }
      if (r.broken !== null) throw new UpdateRefusal('truncated', `It was broken off after ${r.taken} of ${of} bytes: ${r.broken}.`);
      const arrived = r.arrived;
      const woken = await wait(this.#silenceMs, (wake) => {
        r.wake = wake;
      });
      if (!woken && arrived === r.arrived) r.broken ??= 'nothing more comes from the other CoServer';
    }
  }

  #break(text: string): void {
    const receiving = this.#receiving;
    if (!receiving) return;
    receiving.broken ??= text;
    receiving.queue = [];
    receiving.wake();
  }

  #say(message: PairMessage): void {
    this.#p.channel.send(...encodeMessage(message));
  }
}

/** How far it is, how fast, and when the next part may go. */
class Meter {
  readonly of: number;
  sent = 0;
  #points: { bytes: number; at: number }[] = [];
  #nextAt = 0;

  constructor(of: number) {
    this.of = of;
  }

  at(bytes: number, now: number): void {
    this.#points = [...this.#points.filter((p) => now - p.at < RATE_OVER_MS), { bytes, at: now }];
  }

  /** ms until the next part may go. */
  pause(bytes: number, rateBytesPerS: number, now: number): number {
    this.#nextAt = Math.max(now, this.#nextAt) + (1000 * bytes) / rateBytesPerS;
    return this.#nextAt - now;
  }

  progress(now: number): Progress {
    const [first, last] = [this.#points[0], this.#points.at(-1)];
    const moved = first && last ? last.bytes - first.bytes : 0;
    const bytesPerSecond = first && moved > 0 ? Math.round((1000 * moved) / Math.max(1, now - first.at)) : 0;
    return { bytes: last?.bytes ?? 0, of: this.of, bytesPerSecond };
  }
}

/** False: nobody woke it. */
function wait(ms: number, give: (wake: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    timer.unref();
    give(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
