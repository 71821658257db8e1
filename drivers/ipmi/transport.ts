// The driver's only I/O: one UDP socket for one BMC. Bound to the peer, so the kernel keeps strangers' packets away, and says when nobody
// listens there: a BMC that starts again does that too, so it is remembered for the error's text and not an end.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIP, isIPv6 } from 'node:net';
import { IpmiError } from './types.ts';

export class Transport {
  readonly name: string;
  /** What to do with a packet. */
  onPacket: (packet: Buffer) => void = () => undefined;
  /** What the kernel said last, as "ECONNREFUSED". */
  trouble: string | undefined;
  readonly #socket: Socket;
  #closed = false;

  private constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.name = name;
    socket.on('message', (packet) => this.onPacket(packet));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.trouble = error.code ?? error.message;
    });
  }

  /** Throws an IpmiError (`unreachable`) when this machine has no such local address or no way there. */
  static async open(address: string, port: number, localAddress: string | undefined): Promise<Transport> {
    const name = isIPv6(address) ? `[${address}]` : address;
    const where = port === 623 ? name : `${name}:${port}`;
    if (isIP(address) === 0) throw new IpmiError('unreachable', `"${address}" is no IP address: give the BMC's address as numbers`);
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    try {
      if (localAddress !== undefined) {
        socket.bind({ address: localAddress, port: 0 });
        await once(socket, 'listening');
      }
      socket.connect(port, address);
      await once(socket, 'connect');
    } catch (error) {
      socket.close();
      const from = localAddress === undefined ? '' : ` from ${localAddress}`;
      throw new IpmiError('unreachable', `there is no way to the BMC at ${where}${from}: ${(error as Error).message}`);
    }
    return new Transport(socket, `the BMC at ${where}`);
  }

  send(packet: Buffer): void {
    if (this.#closed) return;
    // An error is an answer that does not come.
    this.#socket.send(packet, (error: NodeJS.ErrnoException | null) => {
      if (error !== null) this.trouble = error.code ?? error.message;
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onPacket = () => undefined;
    this.#socket.close();
  }
}
