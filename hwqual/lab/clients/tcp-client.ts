// What the clients that use TCP share: open, watch, count what must not happen, open again.
import net from 'node:net';
import type { Tally } from './tally.ts';

/** After a failure, before the next attempt: a dead server must not be flooded. */
const RETRY_MS = 500;

/** Monotonic ms. */
export function nowMs(): number {
  return performance.now();
}

/** A client as the process sees it. */
export interface Client {
  readonly tally: Tally;
  start(): void;
  stop(): void;
  /** Called often: a client that is hung counts it, gives the connection up and opens another. */
  check(): void;
}

export abstract class TcpClient implements Client {
  readonly tally: Tally;
  readonly #host: string;
  readonly #port: number;
  #socket: net.Socket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isConnected = false;
  #stopped = false;

  constructor(tally: Tally, host: string, port: number) {
    this.tally = tally;
    this.#host = host;
    this.#port = port;
  }

  start(): void {
    this.open();
  }

  stop(): void {
    this.#stopped = true;
    this.#leave();
  }

  check(): void {
    if (!this.tally.meter.isHung(nowMs())) return;
    this.tally.countHung(`no progress for 20 s, ${this.#where()}`);
    this.#reopen();
  }

  /** Where the client is in its work, for the report of a failure. */
  protected abstract describe(): string;
  protected abstract connected(): void;
  protected abstract received(piece: Buffer): void;
  /** The server closed. Default: too early. */
  protected ended(): void {
    this.fail('the server closed the connection');
  }

  protected get socket(): net.Socket {
    if (this.#socket === null) throw new Error('client has no connection');
    return this.#socket;
  }

  protected open(): void {
    this.#leave();
    if (this.#stopped) return;
    const socket = net.connect({ host: this.#host, port: this.#port, noDelay: true });
    this.#socket = socket;
    this.#isConnected = false;
    const mine = (then: () => void) => (): void => {
      if (this.#socket === socket) then();
    };
    this.tally.meter.expect(nowMs());
    socket.on(
      'connect',
      mine(() => {
        this.tally.meter.rest(nowMs());
        this.#isConnected = true;
        this.connected();
      }),
    );
    socket.on('data', (piece: Buffer) => {
      if (this.#socket === socket) this.received(piece);
    });
    socket.on(
      'end',
      mine(() => this.ended()),
    );
    socket.on('error', (error) => {
      if (this.#socket === socket) this.fail(error.message);
    });
  }

  /** Runs later, unless this connection is given up before. */
  protected later(delayMs: number, then: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = this.#stopped ? null : setTimeout(then, Math.max(0, delayMs));
  }

  protected fail(reason: string): void {
    this.tally.countBroken(`${reason}, ${this.#where()}`);
    this.#reopen();
  }

  protected mismatch(text: string): void {
    this.tally.countWrong(`${text}, ${this.describe()}`);
    this.#reopen();
  }

  #where(): string {
    return this.#isConnected ? this.describe() : 'while connecting';
  }

  #reopen(): void {
    this.#leave();
    this.later(RETRY_MS, () => this.open());
  }

  #leave(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    this.tally.meter.abandon(nowMs());
    socket?.destroy();
  }
}
