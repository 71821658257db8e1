// The connections that are followed, within limits: established ones, and those that everybody can begin in any name. Pure.
import { CONNECTION_LIMIT, type ConnectionKey, HALF_OPEN_LIMIT } from './api.ts';
import { Connection } from './connection.ts';
import { ACK, parseFrame, RST, SYN, windowScaleOf } from './segment.ts';

/** Of the connections at their limit: finding the oldest passes by all that were deleted before. */
const FORGET_AT_ONCE = 1024;

/** Insertion order is age of use. */
type Table = Map<ConnectionKey, Connection>;

export class ConnectionTable {
  readonly #halfOpen: Table = new Map();
  readonly #established: Table = new Map();
  #latestUsed: Connection | null = null;
  /** Connections about which either side said something in this interval. */
  readonly touched = new Set<Connection>();
  /** Those with held segments or a window made smaller. */
  readonly waiting = new Set<Connection>();
  /** The replica's bytes, of all connections. */
  keptBytes = 0;
  forgotten = 0;

  get size(): number {
    return this.#halfOpen.size + this.#established.size;
  }

  find(key: ConnectionKey): Connection | undefined {
    return this.#established.get(key) ?? this.#halfOpen.get(key);
  }

  /** Marks it as used; makes it when it is not known. */
  use(key: ConnectionKey): Connection {
    const latest = this.#latestUsed;
    if (latest?.key === key && this.find(key) === latest) return latest;
    const found = this.find(key);
    const used = found ?? new Connection(key, this.forgotten === 0);
    this.#latestUsed = used;
    if (found) this.#remove(key);
    this.#put(used);
    return used;
  }

  /** A frame for the guest, in LAN coordinates: what a peer answers to a SYN of the guest. */
  fromLan(frame: Buffer): void {
    if (!mayBeSynAck(frame)) return;
    const s = parseFrame(frame, false);
    if (s.kind === 'tcp' && (s.flags & (SYN | ACK)) === (SYN | ACK)) this.find(s.key)?.answered(windowScaleOf(s) > 0);
  }

  #remove(key: ConnectionKey): void {
    if (!this.#established.delete(key)) this.#halfOpen.delete(key);
  }

  /** Looked at when it is used, so one that has just been established moves with its next segment. */
  #put(connection: Connection): void {
    const table = connection.isEstablished ? this.#established : this.#halfOpen;
    const limit = connection.isEstablished ? CONNECTION_LIMIT : HALF_OPEN_LIMIT;
    table.set(connection.key, connection);
    if (table.size >= limit && table.size % FORGET_AT_ONCE === 0) this.#forgetOldest(table, table.size - limit + FORGET_AT_ONCE);
  }

  #forgetOldest(table: Table, count: number): void {
    let left = count;
    for (const connection of table.values()) {
      if (connection !== this.#latestUsed) this.#forget(table, connection);
      if (--left === 0) return;
    }
  }

  #forget(table: Table, connection: Connection): void {
    if (connection.isEstablished && table === this.#halfOpen) {
      table.delete(connection.key);
      this.#put(connection);
      return;
    }
    // What waits is bounded by the room for held frames, and must find its connection.
    if (this.waiting.has(connection)) return;
    table.delete(connection.key);
    this.touched.delete(connection);
    this.keptBytes -= connection.keptBytes;
    this.forgotten++;
  }
}

/** Cheap look before parsing: TCP with SYN and ACK, whatever the header's length. */
function mayBeSynAck(frame: Buffer): boolean {
  const isV6 = frame.length > 54 && frame[12] === 0x86;
  const tcpAt = isV6 ? 54 : 14 + ((frame[14] ?? 0) & 15) * 4;
  return ((frame[tcpAt + 13] ?? 0) & (SYN | ACK | RST)) === (SYN | ACK);
}
