// One established connection of a link: frames in, frames out. Knows nothing of order or sessions.
import type { Socket } from 'node:net';
import {
  encodeHeaderInto,
  encodeHello,
  FRAME_ACK,
  FRAME_DATA,
  FRAME_HELLO,
  FrameError,
  type FrameHeader,
  FrameReader,
  HEADER_BYTES,
  type Hello,
} from './codec.ts';
import type { Outgoing } from './session.ts';

/** Bytes that one connection holds in this process at most, roughly: the rest waits where another link can still take it. */
export const CONNECTION_QUEUE_BYTES = 1024 * 1024;

/** A part of this size is copied to what leaves with it: each call of the socket costs more than that. Larger ones go by themselves. */
const COPIED_BYTES = 8 * 1024;
/** What is gathered before it goes to the socket. */
const SLAB_BYTES = 128 * 1024;

/** Memory for what leaves together, used again once the socket has taken it. */
interface Slab {
  readonly bytes: Buffer;
  /** Given to the socket up to here, and gathered up to there. */
  left: number;
  filled: number;
  /** Of which the socket has not said that it is done. */
  writes: number;
}

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
  #slab: Slab | undefined;
  /** At most as many as CONNECTION_QUEUE_BYTES takes. */
  readonly #freeSlabs: Slab[] = [];
  #corked = false;
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
    return this.#socket.writableLength + (this.#slab ? this.#slab.filled - this.#slab.left : 0);
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
    this.#addHeader({ type: FRAME_HELLO, length: payload.length, sequence: 0, acknowledged: 0 });
    this.#add(payload);
    this.leave();
  }

  sendAcknowledgement(acknowledged: number): void {
    this.#addHeader({ type: FRAME_ACK, length: 0, sequence: 0, acknowledged });
    this.leave();
  }

  /** It leaves with `leave` at the latest. */
  sendMessage(message: Outgoing, acknowledged: number): void {
    this.#addHeader({ type: FRAME_DATA, length: message.bytes, sequence: message.sequence, acknowledged });
    for (const part of message.parts) if (part.length > 0) this.#add(part);
  }

  /** What was sent until now leaves, in one call of the system if it can. */
  leave(): void {
    this.#writeSlab();
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }

  #addHeader(header: FrameHeader): void {
    const slab = this.#slabFor(HEADER_BYTES);
    encodeHeaderInto(slab.bytes, slab.filled, header);
    slab.filled += HEADER_BYTES;
  }

  #add(part: Uint8Array): void {
    if (part.length <= COPIED_BYTES) {
      const slab = this.#slabFor(part.length);
      slab.bytes.set(part, slab.filled);
      slab.filled += part.length;
      return;
    }
    if (!this.#corked) this.#socket.cork();
    this.#corked = true;
    this.#writeSlab();
    this.sentBytes += part.length;
    this.#socket.write(part);
  }

  #slabFor(bytes: number): Slab {
    if (this.#slab && this.#slab.filled + bytes <= SLAB_BYTES) return this.#slab;
    if (this.#slab) {
      this.#writeSlab();
      if (this.#slab.writes === 0) this.#freeSlabs.push(this.#slab);
    }
    this.#slab = this.#freeSlabs.pop() ?? { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES), left: 0, filled: 0, writes: 0 };
    this.#slab.left = 0;
    this.#slab.filled = 0;
    return this.#slab;
  }

  #writeSlab(): void {
    const slab = this.#slab;
    if (!slab || slab.filled === slab.left) return;
    const bytes = slab.bytes.subarray(slab.left, slab.filled);
    slab.left = slab.filled;
    slab.writes++;
    this.sentBytes += bytes.length;
    this.#socket.write(bytes, () => {
      slab.writes--;
      if (slab.writes > 0) return;
      if (slab !== this.#slab) this.#freeSlabs.push(slab);
      else if (slab.left === slab.filled) {
        slab.left = 0;
        slab.filled = 0;
      }
    });
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
