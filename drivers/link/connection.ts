// One established connection of a link: frames in, frames out. Knows nothing of order or sessions.
import type { Socket } from 'node:net';
import {
  encodeHeader,
  encodeHello,
  FRAME_ACK,
  FRAME_DATA,
  FRAME_HELLO,
  FrameError,
  type FrameHeader,
  FrameReader,
  type Hello,
} from './codec.ts';
import type { Outgoing } from './session.ts';

/** Bytes that one connection holds in this process at most, roughly: the rest waits where another link can still take it. */
export const CONNECTION_QUEUE_BYTES = 1024 * 1024;

export interface ConnectionEvents {
  /** Every valid frame. Answers false when the connection was closed meanwhile. */
  onFrame(connection: Connection, header: FrameHeader, payload: Buffer): boolean;
  onWritable(connection: Connection): void;
  /** Once. The connection is destroyed already. */
  onEnd(connection: Connection, reason: string, violation: boolean): void;
}

export class Connection {
  readonly link: number;
  /** The partner's last hello, and the last one sent to it. */
  heard: Hello | undefined;
  told: Hello | undefined;
  /** Both sides know each other's session. */
  established = false;
  sentBytes = 0;
  receivedBytes = 0;
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #reader = new FrameReader();
  #ended = false;

  constructor(link: number, socket: Socket, events: ConnectionEvents) {
    this.link = link;
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 1_000);
    socket.on('error', (error) => this.end(error.message));
    socket.on('end', () => this.end('the partner closed the connection'));
    socket.on('close', () => this.end('the connection was closed'));
    socket.on('drain', () => this.#events.onWritable(this));
    socket.on('data', (piece: Buffer) => this.#read(piece));
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Ends the connection at once; `onEnd` is called before this returns. */
  end(reason: string, violation = false): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.#events.onEnd(this, reason, violation);
  }

  /** Writes what is queued, then closes: for a planned end. Answers when the connection is gone, after limitMs at the latest. */
  finish(limitMs: number): Promise<void> {
    this.#ended = true;
    const socket = this.#socket;
    if (socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), limitMs);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.end(() => socket.destroy());
    });
  }

  sendHello(hello: Hello): void {
    this.told = hello;
    const payload = encodeHello(hello);
    this.#write(encodeHeader({ type: FRAME_HELLO, length: payload.length, sequence: 0, acknowledged: 0 }));
    this.#write(payload);
  }

  sendAcknowledgement(acknowledged: number): void {
    this.#write(encodeHeader({ type: FRAME_ACK, length: 0, sequence: 0, acknowledged }));
  }

  sendMessage(message: Outgoing, acknowledged: number): void {
    this.#write(encodeHeader({ type: FRAME_DATA, length: message.bytes, sequence: message.sequence, acknowledged }));
    for (const part of message.parts) if (part.length > 0) this.#write(part);
  }

  /** Everything written until `uncork` leaves in one call of the system. */
  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  #write(bytes: Uint8Array): void {
    this.sentBytes += bytes.length;
    this.#socket.write(bytes);
  }

  #read(piece: Buffer): void {
    if (this.#ended) return;
    this.receivedBytes += piece.length;
    try {
      this.#reader.push(piece, (header, payload) => this.#events.onFrame(this, header, payload));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.end(`the partner broke the protocol: ${error.message}`, true);
    }
  }
}
