// A packet socket on one NIC: whole Ethernet frames in and out, in batches.

import type { NativeSocket } from './native.ts';
import { native } from './native.ts';
import type { FrameSocket, FrameSocketHandlers, FrameStatistics } from './types.ts';

/** About 30 ms of a gigabit link: the event loop may be late by that much. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
/** Less than an ordinary NIC queue of 1000 frames: a full queue is then seen here, instead of losing frames there. */
const SEND_BUFFER_BYTES = 1024 * 1024;

export interface PacketSocketOptions {
  nic: string;
  /** Only frames of this type are received; ETHER_TYPE_ALL: every frame. */
  etherType: number;
  /** Also frames for other stations: a guest's MAC is not the NIC's. */
  promiscuous?: boolean;
  /** SO_PRIORITY, 0-6 as everybody, 7 first. */
  priority?: number;
  receiveBufferBytes?: number;
  sendBufferBytes?: number;
}

/** Throws an Error with `code`: ENODEV "no such NIC 'lan0'", EPERM without CAP_NET_RAW. Own frames are not received back. */
export class PacketSocket implements FrameSocket {
  readonly #socket: NativeSocket;
  #closed = false;

  constructor(options: PacketSocketOptions, handlers: FrameSocketHandlers) {
    this.#socket = native().open(
      options.nic,
      options.etherType,
      options.promiscuous ?? false,
      options.priority ?? 0,
      options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES,
      options.sendBufferBytes ?? SEND_BUFFER_BYTES,
      (batch) => handlers.onFrames(batch),
      (errno, name) => {
        if (errno === 0) handlers.onWritable?.();
        else handlers.onError?.(Object.assign(new Error(`NIC '${options.nic}': ${name}`), { code: name, errno }));
      },
    );
  }

  sendBatch(batch: Buffer): number {
    return native().send(this.#socket, batch);
  }

  statistics(): FrameStatistics {
    return native().statistics(this.#socket);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    native().close(this.#socket);
  }
}
