// A wire in memory with FrameSockets on it: every frame reaches every other socket, in the next turn of the event loop.
import { LENGTH_BYTES, packFrames, unpackFrames } from './codec.ts';
import type { FrameSocket, FrameSocketHandlers, FrameStatistics } from './types.ts';

const BATCH_FRAMES = 64;

export class FakeWire {
  readonly #sockets = new Set<FakeFrameSocket>();
  /** Frames that were sent, for assertions. */
  readonly frames: Buffer[] = [];
  /** A cut wire loses frames. */
  connected = true;

  open(handlers: FrameSocketHandlers): FakeFrameSocket {
    const socket = new FakeFrameSocket(this, handlers, () => this.#sockets.delete(socket));
    this.#sockets.add(socket);
    return socket;
  }

  carry(from: FakeFrameSocket, frames: Buffer[]): void {
    this.frames.push(...frames);
    if (!this.connected) return;
    setImmediate(() => {
      for (const socket of this.#sockets) if (socket !== from) socket.receive(frames);
    });
  }
}

export class FakeFrameSocket implements FrameSocket {
  readonly #wire: FakeWire;
  readonly #handlers: FrameSocketHandlers;
  readonly #onClose: () => void;
  #closed = false;
  #blockedBytes = 0;
  readonly #statistics: FrameStatistics = {
    receivedFrames: 0,
    receivedBytes: 0,
    sentFrames: 0,
    sentBytes: 0,
    kernelDropped: 0,
    oversized: 0,
    truncated: 0,
    checksumsCompleted: 0,
    checksumsIncomplete: 0,
    sendDropped: 0,
  };
  /** How many bytes `sendBatch` takes before its queue is full; `unblock` makes room. */
  capacityBytes = Number.POSITIVE_INFINITY;

  constructor(wire: FakeWire, handlers: FrameSocketHandlers, onClose: () => void) {
    this.#wire = wire;
    this.#handlers = handlers;
    this.#onClose = onClose;
  }

  sendBatch(batch: Buffer): number {
    if (this.#closed) throw Object.assign(new Error('this packet socket is closed: Bad file descriptor'), { code: 'EBADF' });
    const taken: Buffer[] = [];
    let bytes = 0;
    for (const frame of unpackFrames(batch).frames) {
      const size = LENGTH_BYTES + frame.length;
      if (this.#blockedBytes + size > this.capacityBytes) break;
      if (this.capacityBytes !== Number.POSITIVE_INFINITY) this.#blockedBytes += size;
      taken.push(Buffer.from(frame));
      bytes += size;
      this.#statistics.sentFrames++;
      this.#statistics.sentBytes += frame.length;
    }
    if (taken.length > 0) this.#wire.carry(this, taken);
    return bytes;
  }

  /** The queue is empty again. */
  unblock(): void {
    this.#blockedBytes = 0;
    this.#handlers.onWritable?.();
  }

  receive(frames: Buffer[]): void {
    for (let at = 0; at < frames.length && !this.#closed; at += BATCH_FRAMES) {
      const some = frames.slice(at, at + BATCH_FRAMES);
      this.#statistics.receivedFrames += some.length;
      for (const frame of some) this.#statistics.receivedBytes += frame.length;
      this.#handlers.onFrames(packFrames(some));
    }
  }

  statistics(): FrameStatistics {
    return { ...this.#statistics };
  }

  close(): void {
    this.#closed = true;
    this.#onClose();
  }
}
