// Live updates: the whole snapshot to every client, at most five times a second, at least once a second (a page that hears nothing for
// longer knows that the server is gone, also when no FIN ever comes). A slow client gets the newest picture only: while its socket has
// not drained nothing is queued for it, so that it costs one snapshot of memory however long it sleeps.
import type { ServerResponse } from 'node:http';
import { encodeEvent } from './event-stream.ts';

/** Faster than an eye follows, and a bound on what a storm of changes costs. */
export const LIVE_MIN_INTERVAL_MS = 200;
export const LIVE_MAX_INTERVAL_MS = 1000;
/** Each costs a socket and one snapshot; two browsers and a script per operator fit. */
export const LIVE_CLIENTS_MAX = 32;
/** A client that takes nothing for so long is gone or hostile. */
export const LIVE_STALLED_MS = 30_000;

/** A client that takes nothing does not hold up the end. */
const FAREWELL_MS = 1_000;

interface Client {
  response: ServerResponse;
  /** Its socket has not drained. */
  blockedSince: number | null;
  allowed: () => boolean;
}

/** A picture is anything that JSON can say. */
export interface LiveOptions {
  snapshot: () => object;
  /** Answers how to stop listening. */
  onChange: (listener: () => void) => () => void;
  nowMs: () => number;
  minIntervalMs?: number;
}

export class LiveHub {
  readonly #options: LiveOptions;
  readonly #clients = new Set<Client>();
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sentAt = Number.NEGATIVE_INFINITY;
  #text = '';

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  get full(): boolean {
    return this.#clients.size >= LIVE_CLIENTS_MAX;
  }

  /** The response's head must have been written. `allowed` is asked before each picture: when it says no the stream ends. */
  attach(response: ServerResponse, allowed: () => boolean): void {
    const client: Client = { response, blockedSince: null, allowed };
    this.#clients.add(client);
    response.on('close', () => this.#detach(client));
    response.on('error', () => this.#detach(client));
    response.on('drain', () => {
      // The next picture is at most a second away.
      client.blockedSince = null;
    });
    if (!this.#unsubscribe) this.#unsubscribe = this.#options.onChange(() => this.#changed());
    this.#render();
    this.#send(client);
    this.#schedule(LIVE_MAX_INTERVAL_MS);
  }

  /** The last picture to all, and then the end. Resolves when it has left, or soon after. */
  async farewell(): Promise<void> {
    this.#render();
    const gone = [...this.#clients].map(({ response, allowed }) => {
      const finished = new Promise((resolve) => response.once('finish', resolve).once('close', resolve));
      response.end(allowed() ? this.#text : encodeEvent('signed-out', '{}'));
      return finished;
    });
    const late = AbortSignal.timeout(FAREWELL_MS);
    await Promise.race([Promise.all(gone), new Promise((resolve) => late.addEventListener('abort', resolve))]);
    this.close();
  }

  close(): void {
    for (const client of [...this.#clients]) {
      this.#detach(client);
      client.response.destroy();
    }
  }

  #changed(): void {
    const sinceMs = this.#options.nowMs() - this.#sentAt;
    this.#schedule(Math.max(0, (this.#options.minIntervalMs ?? LIVE_MIN_INTERVAL_MS) - sinceMs));
  }

  #dueAt = Number.POSITIVE_INFINITY;

  #schedule(inMs: number): void {
    const dueAt = this.#options.nowMs() + inMs;
    if (this.#timer && this.#dueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => this.#broadcast(), inMs);
  }

  #broadcast(): void {
    this.#timer = undefined;
    if (this.#clients.size === 0) return;
    const now = this.#options.nowMs();
    this.#render();
    for (const client of [...this.#clients]) {
      if (client.blockedSince === null) this.#send(client);
      else if (now - client.blockedSince > LIVE_STALLED_MS) client.response.destroy();
    }
    this.#schedule(LIVE_MAX_INTERVAL_MS);
  }

  #render(): void {
    this.#sentAt = this.#options.nowMs();
    this.#text = encodeEvent('snapshot', JSON.stringify(this.#options.snapshot()));
  }

  #send(client: Client): void {
    if (!client.allowed()) {
      this.#detach(client);
      client.response.end(encodeEvent('signed-out', '{}'));
      return;
    }
    if (!client.response.write(this.#text)) client.blockedSince = this.#options.nowMs();
  }

  #detach(client: Client): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#text = '';
  }
}
