// One of a channel's links: its endpoint, the connection that carries messages, and those that have not said hello yet. A new connection
// replaces the present one only with its hello, so that a stranger's attempt costs nothing.
import type { Socket } from 'node:net';
import type { Connection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import type { ChannelStats } from './types.ts';

/** A connection must say hello within this time. */
const HELLO_TIMEOUT_MS = 2_000;

/** Node has no public way to a socket's descriptor. Undefined: it is closed already, or Node has changed. */
function descriptorOf(socket: Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: unknown } | null })._handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

export class ChannelLink {
  readonly endpoint: Endpoint;
  connection: Connection | undefined;
  /** The heartbeat does not say that the link is down. */
  allowed = true;
  problem = 'not connected yet';
  /** What the latest connection could not be given. */
  lack = '';
  resentMessages = 0;
  readonly #pending = new Map<Connection, NodeJS.Timeout>();
  /** Of ended connections. */
  #sentBytes = 0;
  #receivedBytes = 0;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  get isEstablished(): boolean {
    return this.connection?.established ?? false;
  }

  /** The present one first. */
  connections(): Connection[] {
    return [...(this.connection ? [this.connection] : []), ...this.#pending.keys()];
  }

  isPending(connection: Connection): boolean {
    return this.#pending.has(connection);
  }

  /** A socket was connected: it gets what the channel's owner gives to each (its traffic class). */
  equip(socket: Socket, onSocket: ((fd: number) => string) | undefined): void {
    const fd = descriptorOf(socket);
    this.lack = (fd === undefined ? '' : onSocket?.(fd)) ?? '';
  }

  /** It must say hello now. */
  admit(connection: Connection): void {
    this.#pending.set(
      connection,
      setTimeout(() => connection.end('the partner did not say hello'), HELLO_TIMEOUT_MS),
    );
  }

  /** It has said hello. Answers the earlier connection, which the partner has given up. */
  adopt(connection: Connection): Connection | undefined {
    this.#forgetPending(connection);
    const earlier = this.connection;
    this.connection = connection;
    return earlier;
  }

  /** It has ended. 'replaced': another one has its place. */
  ended(connection: Connection): 'present' | 'pending' | 'replaced' {
    this.#sentBytes += connection.sentBytes;
    this.#receivedBytes += connection.receivedBytes;
    const wasPending = this.#forgetPending(connection);
    if (this.connection === connection) {
      this.connection = undefined;
      return 'present';
    }
    return wasPending ? 'pending' : 'replaced';
  }

  #forgetPending(connection: Connection): boolean {
    clearTimeout(this.#pending.get(connection));
    return this.#pending.delete(connection);
  }

  allow(): void {
    this.allowed = true;
    this.problem = 'not connected yet';
    this.endpoint.open(0);
  }

  forbid(): void {
    this.allowed = false;
    this.endpoint.shut();
    for (const connection of [...this.#pending.keys()]) connection.end('the link is down');
    this.connection?.end('the heartbeat says that the link is down');
    this.problem = 'the heartbeat says that the link is down';
  }

  /** For ever. What was given to the connection has this long to leave. */
  async close(limitMs: number): Promise<void> {
    this.endpoint.shut();
    for (const [connection, timer] of this.#pending) {
      clearTimeout(timer);
      connection.end('closed');
    }
    this.#pending.clear();
    const finished = this.connection?.finish(limitMs);
    this.connection = undefined;
    this.problem = 'closed';
    await finished;
  }

  stats(): ChannelStats['links'][number] {
    return {
      connected: this.isEstablished,
      sentBytes: this.#sentBytes + (this.connection?.sentBytes ?? 0),
      receivedBytes: this.#receivedBytes + (this.connection?.receivedBytes ?? 0),
      resentMessages: this.resentMessages,
      problem: this.isEstablished ? this.lack : this.problem,
    };
  }
}
