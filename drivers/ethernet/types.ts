// What the gate and the heartbeat need of a packet socket: so that tests can put an in-memory wire in its place.

export interface FrameSocketHandlers {
  /** Up to 64 received frames: be32 length + frame each. The buffer is the receiver's. */
  onFrames(batch: Buffer): void;
  /** After `sendBatch` took less than it was given. */
  onWritable?(): void;
  /** The NIC went down or vanished. The socket stays open: a NIC that comes up again goes on; one that vanished needs a new socket. */
  onError?(error: Error): void;
}

export interface FrameSocket {
  /**
   * Sends whole frames from the start of the batch (be32 length + frame each) and answers how many bytes it took. The rest was not sent:
   * the queue is full (`onWritable` follows), or the batch ends within a frame. Throws RangeError on an impossible length.
   */
  sendBatch(batch: Buffer): number;
  statistics(): FrameStatistics;
  /** May be called again. */
  close(): void;
}

/** Totals since the socket was opened. */
export interface FrameStatistics {
  receivedFrames: number;
  receivedBytes: number;
  sentFrames: number;
  sentBytes: number;
  /** The receive buffer was full. */
  kernelDropped: number;
  /** Larger than the NIC's MTU (delivered all the same): offloads are on, see `disableOffloads`. */
  oversized: number;
  /** Larger than any frame, or shorter than a header: dropped. */
  truncated: number;
  /** Checksums that a sender on this machine left to its NIC: completed here, or not found. */
  checksumsCompleted: number;
  checksumsIncomplete: number;
  /** Could not leave: larger than the MTU, the NIC is down, its queue is full. */
  sendDropped: number;
}
