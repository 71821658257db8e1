// What the clients that use TCP share: open, watch, count what must not happen, open again.
import net from 'node:net';
import { callFromGuest, type GuestCall, type GuestService } from './guest-call.ts';
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
  /** How old its connection is and what it has outlived; null: it has none, or a new one for each request. */
  age?(): { ageMs: number; takeovers: number } | null;
  takeover?(atWallMs: number): void;
}

const SERVICES: Record<number, GuestService> = { 7: 'echo', 80: 'http', 9009: 'records' };

export abstract class TcpClient implements Client {
  readonly tally: Tally;
  readonly #host: string;
  readonly #port: number;
  #socket: net.Socket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isConnected = false;
  #stopped = false;
  readonly #byGuest: boolean;
  #call: GuestCall | null = null;
  #connectedAt = 0;
  /** Takeovers since the connection was opened: outlived, and those after which nothing came yet. */
  #outlived = 0;
  #pending = 0;

  constructor(tally: Tally, host: string, port: number) {
    this.tally = tally;
    this.#host = host;
    this.#port = port;
    this.#byGuest = tally.kind.startsWith('guest');
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
    this.#isConnected = false;
    this.tally.meter.expect(nowMs());
    const service = SERVICES[this.#port];
    if (this.#byGuest && service !== undefined)
      this.#call = callFromGuest(
        this.#host,
        service,
        (socket) => {
          this.#use(socket);
          this.#connected();
        },
        (reason) => this.fail(reason),
      );
    else this.#use(net.connect({ host: this.#host, port: this.#port, noDelay: true }));
  }

  #connected(): void {
    this.tally.meter.rest(nowMs());
    this.#isConnected = true;
    this.#connectedAt = Date.now();
    this.#outlived = this.#pending = 0;
    this.connected();
  }

  age(): { ageMs: number; takeovers: number } | null {
    return this.#isConnected ? { ageMs: Date.now() - this.#connectedAt, takeovers: this.#outlived } : null;
  }

  takeover(atWallMs: number): void {
    if (this.#isConnected && this.#connectedAt < atWallMs) this.#pending++;
  }

  #use(socket: net.Socket): void {
    this.#socket = socket;
    const mine = (then: () => void) => (): void => {
      if (this.#socket === socket) then();
    };
    socket.on(
      'connect',
      mine(() => this.#connected()),
    );
    socket.on('data', (piece: Buffer) => {
      if (this.#socket !== socket) return;
      this.#outlived += this.#pending;
      this.#pending = 0;
      this.received(piece);
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
    this.#isConnected = false;
    this.#call?.cancel();
    this.#call = null;
    this.tally.meter.abandon(nowMs());
    socket?.destroy();
  }
}
