// The connections that are followed, within a limit. Pure.
import { CONNECTION_LIMIT, type ConnectionKey } from './api.ts';
import { Connection } from './connection.ts';

/** Of the connections at their limit. */
const FORGET_AT_ONCE = 1024;

export class ConnectionTable {
  /** Insertion order is age of use. */
  readonly #connections = new Map<ConnectionKey, Connection>();
  #latestUsed: Connection | null = null;
  /** Connections about which either side said something in this interval. */
  readonly touched = new Set<Connection>();
  /** Those with held segments or a window made smaller. */
  readonly waiting = new Set<Connection>();
  /** The replica's bytes, of all connections. */
  keptBytes = 0;
  forgotten = 0;

  get size(): number {
    return this.#connections.size;
  }

  find(key: ConnectionKey): Connection | undefined {
    return this.#connections.get(key);
  }

  /** Marks it as used; makes it when it is not known. */
  use(key: ConnectionKey): Connection {
    const found = this.#connections.get(key);
    if (found) {
      if (found === this.#latestUsed) return found;
      this.#connections.delete(key);
      this.#connections.set(key, found);
      this.#latestUsed = found;
      return found;
    }
    const made = new Connection(key, this.forgotten === 0);
    this.#connections.set(key, made);
    this.#latestUsed = made;
    if (this.#connections.size >= CONNECTION_LIMIT && this.#connections.size % FORGET_AT_ONCE === 0) this.#forgetOldest();
    return made;
  }

  /** Some at once: finding the oldest passes by all that were deleted before. */
  #forgetOldest(): void {
    let left = this.#connections.size - CONNECTION_LIMIT + FORGET_AT_ONCE;
    for (const connection of this.#connections.values()) {
      this.#forget(connection);
      if (--left === 0) return;
    }
  }

  #forget(connection: Connection): void {
    // What waits is bounded by the room for held frames, and must find its connection.
    if (this.waiting.has(connection)) return;
    this.#connections.delete(connection.key);
    this.touched.delete(connection);
    this.keptBytes -= connection.keptBytes;
    this.forgotten++;
  }
}
