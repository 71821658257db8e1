// An NBD server for one export on a Unix socket. Which options and commands: README.md.
import { unlinkSync } from 'node:fs';
import * as net from 'node:net';
import { Connection } from './connection.ts';
import type { NbdExport } from './types.ts';

/** Clients at a time: QEMU uses one; tools a few. */
const CONNECTIONS = 32;
/**
 * From connecting to the choice of an export: one that sends nothing must not keep the engine out for ever. A client on this machine needs
 * milliseconds; an emulated one on a busy machine needed more than ten seconds, and an engine that is sent away at its start ends.
 */
const HANDSHAKE_MS = 120_000;

export interface NbdServerEvents {
  /** A client broke the protocol or the socket failed. */
  trouble(message: string): void;
}

export class NbdServer {
  #export: NbdExport | null;
  readonly #events: NbdServerEvents;
  /** Clients that came before there was anything to serve. At most CONNECTIONS. */
  readonly #early = new Set<net.Socket>();
  readonly #server: net.Server;
  readonly #handshakeMs: number;
  readonly #connections = new Set<Connection>();

  /** @param exported Null: clients may connect already, and wait for `serve`. One that finds nobody may not come again soon. */
  constructor(exported: NbdExport | null, events: NbdServerEvents, handshakeMs = HANDSHAKE_MS) {
    this.#handshakeMs = handshakeMs;
    this.#export = exported;
    this.#events = events;
    this.#server = net.createServer((socket) => {
      if (this.#export) {
        this.#begin(socket, this.#export);
        return;
      }
      this.#early.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#early.delete(socket));
    });
    this.#server.maxConnections = CONNECTIONS;
  }

  /** Greets who waits, and from now on everybody. */
  serve(exported: NbdExport): void {
    this.#export = exported;
    for (const socket of this.#early) this.#begin(socket, exported);
    this.#early.clear();
  }

  #begin(socket: net.Socket, exported: NbdExport): void {
    const c = new Connection(socket, exported, (m) => this.#events.trouble(m), this.#handshakeMs);
    this.#connections.add(c);
    socket.on('close', () => this.#connections.delete(c));
  }

  /** A socket file left by a dead process is replaced. */
  async listen(socketPath: string): Promise<void> {
    try {
      unlinkSync(socketPath);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new Error(`cannot replace the socket ${socketPath}: ${(e as Error).message}`);
    }
    await new Promise<void>((resolve, reject) => {
      const failed = (e: Error): void =>
        reject(new Error(`cannot export '${this.#export?.name ?? 'a disk'}' on ${socketPath}: ${e.message}`));
      this.#server.once('error', failed);
      this.#server.listen(socketPath, () => {
        this.#server.off('error', failed);
        this.#server.on('error', (e) => this.#events.trouble(`NBD socket: ${e.message}`));
        resolve();
      });
    });
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Open requests are dropped unanswered. */
  async close(): Promise<void> {
    for (const c of this.#connections) c.destroy();
    for (const socket of this.#early) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
