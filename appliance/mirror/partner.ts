// The source's view of the partner's copy: requests that wait for their answers.
//
// A request of the guest ends with the partner's `ok`, or by `release`; never otherwise: while the partner is silent,
// the guest's writes are held. Requests of a resync fail when the partner is lost.
//
// The guest also waits for requests that are not its own: a resync, a comparison or a repair has its range locked until the partner has
// answered. From when on the guest waits, such a request has the time of one of the guest's.
import type { Channel } from '../../drivers/link/index.ts';
import { blockSums, encodeSums } from './block-sums.ts';
import { type AnswerStatus, encodeMessageHeader, MESSAGE_VERSION, type MessageKind, type MirrorMessage } from './messages.ts';
import { Patience, type Wait } from './patience.ts';

/** What the partner is asked. */
export interface PartnerRequest {
  kind: Exclude<MessageKind, 'answer'>;
  fua?: boolean;
  release?: boolean;
  repair?: boolean;
  /** write: computed here if missing. */
  sums?: Uint32Array;
  interval?: number;
  offset?: number;
  length?: number;
  data?: Uint8Array;
}

interface Pending {
  isGuest: boolean;
  /** Of the disk; 0 and 0: of no range. */
  start: number;
  end: number;
  sinceMs: number;
  wait: Wait | undefined;
  resolve: (data: Uint8Array) => void;
  reject: (e: Error) => void;
}

export class Partner {
  readonly attachment: number;
  /** Ends when the source went on alone. */
  readonly released: Promise<void>;
  readonly #channel: Channel;
  readonly #onLost: (reason: string) => void;
  readonly #pending = new Map<number, Pending>();
  /** Ranges of the disk that the guest waits for, locked by others. */
  readonly #awaited = new Set<{ start: number; end: number }>();
  /** Messages that wait for room in the channel. Bounded by what the NBD server and a resync have open. */
  readonly #outbox: Uint8Array[][] = [];
  #full = false;
  #next = 1;
  #lost: string | undefined;
  #isReleased = false;
  readonly #release: () => void;
  readonly #patience: Patience | undefined;

  /** @param acknowledgeMs A request of the guest that waits longer: the partner is lost. Undefined: it is waited for without end. */
  constructor(channel: Channel, attachment: number, onLost: (reason: string) => void, acknowledgeMs?: number) {
    this.#channel = channel;
    this.attachment = attachment;
    this.#onLost = onLost;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.released = promise;
    this.#release = resolve;
    if (acknowledgeMs !== undefined)
      this.#patience = new Patience({
        limitMs: acknowledgeMs,
        onExhausted: () => this.lose(`the partner has not acknowledged a write for ${Math.round(acknowledgeMs / 100) / 10} s`),
      });
  }

  /** Answers what the partner's copy knows of itself. */
  async attach(sizeBytes: number): Promise<Uint8Array> {
    return await this.ask({ kind: 'attach', offset: sizeBytes, length: MESSAGE_VERSION });
  }

  /** A request of the guest: held until the partner has it, or `release`. */
  hold(r: PartnerRequest): Promise<unknown> {
    return this.#request(r, true);
  }

  /** A request of a resync. Rejected when the partner refuses or is lost. */
  ask(r: PartnerRequest): Promise<Uint8Array> {
    return this.#request(r, false);
  }

  /** The guest waits for whoever has this range locked, until the answer is called. */
  keepsWaiting(start: number, end: number): () => void {
    const range = { start, end };
    this.#awaited.add(range);
    for (const p of this.#pending.values()) this.#time(p);
    return () => {
      this.#awaited.delete(range);
      for (const p of this.#pending.values()) {
        if (p.isGuest || !p.wait || this.#isAwaited(p)) continue;
        this.#patience?.end(p.wait);
        p.wait = undefined;
      }
    };
  }

  /** It does not follow any more. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  get pending(): number {
    let n = 0;
    for (const p of this.#pending.values()) if (p.isGuest) n++;
    return n;
  }

  oldestPendingMs(nowMs: number): number {
    for (const p of this.#pending.values()) if (p.isGuest) return nowMs - p.sinceMs;
    return 0;
  }

  answered(m: MirrorMessage): void {
    const p = this.#pending.get(m.request);
    if (!p) return;
    if (m.status === 'ok') {
      this.#pending.delete(m.request);
      if (p.wait) this.#patience?.end(p.wait);
      p.resolve(m.data);
    } else this.#refused(p, m.request, m.status, new TextDecoder().decode(m.data));
  }

  #refused(p: Pending, request: number, status: AnswerStatus, reason: string): void {
    if (!p.isGuest) {
      this.#pending.delete(request);
      if (p.wait) this.#patience?.end(p.wait);
      p.reject(new Error(reason));
    }
    if (status === 'failed' || p.isGuest) this.lose(reason);
  }

  /** There is room in the channel again. */
  drained(): void {
    this.#full = false;
    while (!this.#full) {
      const parts = this.#outbox.shift();
      if (!parts) return;
      this.#full = !this.#channel.send(...parts);
    }
  }

  /** The partner's copy does not follow any more: guest requests stay held, a resync fails. */
  lose(reason: string): void {
    if (this.#lost !== undefined || this.#isReleased) return;
    this.#lost = reason;
    this.#patience?.stop();
    this.#outbox.length = 0;
    for (const [request, p] of this.#pending) {
      if (p.isGuest) continue;
      this.#pending.delete(request);
      p.reject(new Error(reason));
    }
    this.#onLost(reason);
  }

  /** The source goes on alone: what the guest waits for is given up. Answers how many requests that were. */
  release(): number {
    this.#isReleased = true;
    this.#patience?.stop();
    this.#outbox.length = 0;
    let n = 0;
    for (const p of this.#pending.values()) {
      if (p.isGuest) {
        n++;
        p.resolve(new Uint8Array());
      } else p.reject(new Error('the source goes on alone'));
    }
    this.#pending.clear();
    this.#release();
    return n;
  }

  /** Its time begins, if the guest waits for it. */
  #time(p: Pending): void {
    if (p.wait || this.#lost !== undefined || !(p.isGuest || this.#isAwaited(p))) return;
    p.wait = this.#patience?.begin();
  }

  #isAwaited({ start, end }: Pending): boolean {
    for (const a of this.#awaited) if (start < a.end && end > a.start) return true;
    return false;
  }

  #request(r: PartnerRequest, isGuest: boolean): Promise<Uint8Array> {
    if (this.#isReleased) return isGuest ? Promise.resolve(new Uint8Array()) : Promise.reject(new Error('the source goes on alone'));
    if (this.#lost !== undefined && !isGuest) return Promise.reject(new Error(this.#lost));
    const request = this.#next++ >>> 0;
    return new Promise((resolve, reject) => {
      const start = r.offset ?? 0;
      const end = r.kind === 'attach' ? start : start + (r.length ?? 0);
      const p: Pending = { isGuest, start, end, sinceMs: performance.now(), wait: undefined, resolve, reject };
      this.#pending.set(request, p);
      this.#time(p);
      if (this.#lost !== undefined) return;
      const sums = r.kind === 'write' && r.data ? (r.sums ?? blockSums(r.offset ?? 0, r.data)) : undefined;
      const header = encodeMessageHeader({
        kind: r.kind,
        fua: r.fua ?? false,
        release: r.release ?? false,
        repair: r.repair ?? false,
        checked: sums !== undefined,
        attachment: this.attachment,
        request,
        interval: r.interval ?? 0,
        offset: r.offset ?? 0,
        length: r.length ?? 0,
        status: 'ok',
      });
      const parts: Uint8Array[] = r.data ? [header, r.data] : [header];
      if (sums) parts.push(encodeSums(sums));
      if (this.#full) this.#outbox.push(parts);
      else this.#full = !this.#channel.send(...parts);
    });
  }
}
