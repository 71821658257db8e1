// The unix socket that the engine's `-netdev stream` connects to: be32 length + frame in both directions.
//
// The socket is never paused: the engine's main loop must not wait for us, and what it sent before it stopped must be here
// when the checkpoint cuts. The engine connects again whenever its connection ends; the newest connection is the engine.
import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type FrameSink, FrameSplitter } from './frames.ts';

/** 8 MiB: 64 ms of a full 1 Gbit NIC, more than a checkpoint's pause. Beyond it inputs are dropped, as a full NIC does. */
export const INPUT_LIMIT_BYTES = 8 * 1024 * 1024;

/** Bytes of a unix socket's path (sockaddr_un without its final NUL). */
const PATH_LIMIT_BYTES = 107;

/** What the gate needs of it. */
export interface EngineLink {
  readonly connected: boolean;
  /** Bytes received since start, over all connections. */
  readonly bytesRead: number;
  /** False: dropped, because no engine is connected or it does not read. */
  write(batch: Buffer): boolean;
  close(): Promise<void>;
}

export interface EngineSocketEvents {
  /** The engine's frames; a new sink would lose the partial frame, so there is one for all connections. */
  sink: FrameSink;
  /** The connection was ended because of what came over it. */
  broken(reason: string): void;
}

export class EngineSocket implements EngineLink {
  readonly #server: Server;
  readonly #events: EngineSocketEvents;
  #socket: Socket | null = null;
  /** The connection whose writes of this turn are collected. */
  #corked: Socket | null = null;
  bytesRead = 0;

  /** Throws Error with code EADDRINUSE when another process serves the path. */
  static async listen(path: string, events: EngineSocketEvents): Promise<EngineSocket> {
    const bytes = Buffer.byteLength(path);
    if (bytes > PATH_LIMIT_BYTES)
      throw new Error(
        `gate: the socket path '${path}' is ${bytes} bytes long, at most ${PATH_LIMIT_BYTES} are possible: use a shorter run directory`,
      );
    const engine = new EngineSocket(events);
    try {
      await engine.#listen(path);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw new Error(`gate: cannot listen on '${path}': ${(e as Error).message}`);
      if (await answers(path)) {
        throw Object.assign(new Error(`gate: another process serves '${path}': stop it, or use another run directory`), {
          code: 'EADDRINUSE',
        });
      }
      // Left behind by a process that ended without closing it.
      await rm(path);
      await engine.#listen(path);
    }
    // Who can connect is the guest's network card.
    await chmod(path, 0o600);
    return engine;
  }

  private constructor(events: EngineSocketEvents) {
    this.#events = events;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  get connected(): boolean {
    return this.#socket !== null;
  }

  write(batch: Buffer): boolean {
    const socket = this.#socket;
    if (!socket || socket.writableLength + batch.length > INPUT_LIMIT_BYTES) return false;
    if (this.#corked !== socket) {
      this.#corked = socket;
      socket.cork();
      process.nextTick(() => {
        if (this.#corked === socket) this.#corked = null;
        socket.uncork();
      });
    }
    socket.write(batch);
    return true;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#socket?.destroy();
    await closed;
  }

  async #listen(path: string): Promise<void> {
    this.#server.listen(path);
    await once(this.#server, 'listening');
  }

  #accept(socket: Socket): void {
    const previous = this.#socket;
    this.#socket = socket;
    previous?.destroy();
    const splitter = new FrameSplitter(this.#events.sink);
    socket.on('data', (chunk) => {
      this.bytesRead += chunk.length;
      try {
        splitter.push(chunk);
      } catch (e) {
        this.#events.broken((e as Error).message);
        socket.destroy();
      }
    });
    // The engine was killed: 'close' follows.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
    });
  }
}

/** Whether a process accepts connections on the path. */
async function answers(path: string): Promise<boolean> {
  const probe = connect(path);
  try {
    await once(probe, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    probe.destroy();
  }
}
