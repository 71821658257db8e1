// A raw IPv4 socket of one protocol, bound to a NIC and to one partner's address, by the package raw-socket.
// Its second purpose: another way through the kernel than the packet socket, so that a fault of one filter is not a lost partner.
import { createSocket, type Socket } from 'raw-socket';
import { nicExists } from './nic.ts';

/** For experimentation and testing (RFC 3692): never routed by anybody else. */
export const IP_PROTOCOL_EXPERIMENTAL = 253;

const SOL_SOCKET = 1;
const SO_PRIORITY = 12;
const SO_BINDTODEVICE = 25;
/** Packets in the package's own queue: more means that the NIC does not send, and an old heartbeat is worth nothing. */
const QUEUE_PACKETS = 4;

export interface RawIpOptions {
  nic: string;
  remoteAddress: string;
  protocol: number;
  priority?: number;
}

export interface RawIpHandlers {
  /** The payload behind the IP header, from remoteAddress only. A view that is valid during the call. */
  onPayload(payload: Buffer): void;
  /** A send or receive error (a NIC that is down): the socket goes on unless `closed`. */
  onError?(error: Error, closed: boolean): void;
}

/** Throws "no such NIC 'link0'", or the socket's error (root is needed). */
export class RawIpSocket {
  readonly #socket: Socket;
  readonly #remoteAddress: string;
  #queued = 0;
  #closed = false;
  /** Packets not sent because the queue was full. */
  dropped = 0;

  constructor(options: RawIpOptions, handlers: RawIpHandlers) {
    if (!nicExists(options.nic)) throw Object.assign(new Error(`no such NIC '${options.nic}'`), { code: 'ENODEV' });
    this.#remoteAddress = options.remoteAddress;
    try {
      this.#socket = createSocket({ protocol: options.protocol });
      this.#socket.setOption(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${options.nic}\0`), options.nic.length + 1);
      this.#socket.setOption(SOL_SOCKET, SO_PRIORITY, options.priority ?? 0);
    } catch (cause) {
      throw new Error(`raw IP socket on NIC '${options.nic}': ${(cause as Error).message}`, { cause });
    }
    this.#socket.on('message', (packet, source) => {
      if (source !== this.#remoteAddress) return;
      const headerBytes = ((packet[0] ?? 0) % 16) * 4;
      if (headerBytes >= 20 && packet.length >= headerBytes) handlers.onPayload(packet.subarray(headerBytes));
    });
    this.#socket.on('error', (error?: Error) =>
      handlers.onError?.(error ?? new Error(`raw IP socket on NIC '${options.nic}' failed`), this.#closed),
    );
    this.#socket.on('close', () => {
      this.#closed = true;
    });
  }

  /** Never blocks and never throws: a heartbeat that cannot leave now is dropped, the next one is younger. */
  send(payload: Buffer): void {
    if (this.#closed) return;
    if (this.#queued >= QUEUE_PACKETS) {
      this.dropped++;
      return;
    }
    this.#queued++;
    this.#socket.send(payload, 0, payload.length, this.#remoteAddress, (error) => {
      this.#queued--;
      if (error) this.dropped++;
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}
