// A small NBD client on a Unix socket: what tests and tools need of the protocol, many requests at a time.
import * as net from 'node:net';
import {
  COMMAND,
  COMMAND_FLAG,
  FIXED_NEWSTYLE,
  INFO,
  MAGIC_OPTION,
  MAGIC_OPTION_REPLY,
  MAGIC_REQUEST,
  MAGIC_SERVER,
  MAGIC_SIMPLE_REPLY,
  NBD_ERROR,
  type NbdErrorName,
  NO_ZEROES,
  OPTION,
  OPTION_REPLY,
} from './protocol.ts';
import { NbdError } from './types.ts';

interface Open {
  length: number;
  resolve: (data: Buffer) => void;
  reject: (e: Error) => void;
}

export class NbdClient {
  readonly sizeBytes: number;
  readonly flags: number;
  readonly #socket: net.Socket;
  readonly #open = new Map<bigint, Open>();
  #next = 1n;
  #lost: Error | undefined;

  private constructor(socket: net.Socket, reader: Reader, sizeBytes: number, flags: number) {
    this.#socket = socket;
    this.sizeBytes = sizeBytes;
    this.flags = flags;
    this.#answers(reader).catch((e: Error) => {
      this.#lost = e;
      for (const o of this.#open.values()) o.reject(e);
      this.#open.clear();
    });
  }

  static async connect(socketPath: string, name: string): Promise<NbdClient> {
    const socket = net.connect(socketPath);
    const reader = new Reader(socket);
    const greeting = await reader.bytes(18);
    if (greeting.readBigUInt64BE(0) !== MAGIC_SERVER || greeting.readBigUInt64BE(8) !== MAGIC_OPTION)
      throw new Error(`${socketPath}: not an NBD server`);
    const text = Buffer.from(name);
    const go = Buffer.alloc(26 + text.length);
    go.writeUInt32BE(FIXED_NEWSTYLE | NO_ZEROES, 0);
    go.writeBigUInt64BE(MAGIC_OPTION, 4);
    go.writeUInt32BE(OPTION.go, 12);
    go.writeUInt32BE(6 + text.length, 16);
    go.writeUInt32BE(text.length, 20);
    text.copy(go, 24);
    socket.write(go);
    let sizeBytes = 0;
    let flags = 0;
    for (;;) {
      const header = await reader.bytes(20);
      if (header.readBigUInt64BE(0) !== MAGIC_OPTION_REPLY) throw new Error(`${socketPath}: not an option reply`);
      const kind = header.readUInt32BE(12);
      const data = await reader.bytes(header.readUInt32BE(16));
      if (kind === OPTION_REPLY.ack) return new NbdClient(socket, reader, sizeBytes, flags);
      if (kind !== OPTION_REPLY.info) {
        socket.destroy();
        throw new Error(`${socketPath}: export '${name}' refused (${kind.toString(16)}): ${data.toString('utf8')}`);
      }
      if (data.readUInt16BE(0) === INFO.export) {
        sizeBytes = Number(data.readBigUInt64BE(2));
        flags = data.readUInt16BE(10);
      }
    }
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#request(COMMAND.read, 0, offset, length);
  }

  async write(offset: number, data: Uint8Array, fua = false): Promise<void> {
    await this.#request(COMMAND.write, fua ? COMMAND_FLAG.fua : 0, offset, data.length, data);
  }

  async writeZeroes(offset: number, length: number, fua = false): Promise<void> {
    await this.#request(COMMAND.writeZeroes, fua ? COMMAND_FLAG.fua : 0, offset, length);
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.#request(COMMAND.trim, 0, offset, length);
  }

  async flush(): Promise<void> {
    await this.#request(COMMAND.flush, 0, 0, 0);
  }

  /** Polite: the server closes after the answers that are due. */
  async close(): Promise<void> {
    if (this.#socket.destroyed) return;
    const gone = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.end(encodeRequest(COMMAND.disconnect, 0, 0n, 0, 0));
    this.#socket.resume();
    await gone;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #request(command: number, flags: number, offset: number, length: number, data?: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#lost) {
        reject(this.#lost);
        return;
      }
      const cookie = this.#next++;
      this.#open.set(cookie, { length: command === COMMAND.read ? length : 0, resolve, reject });
      this.#socket.cork();
      this.#socket.write(encodeRequest(command, flags, cookie, offset, length));
      if (data) this.#socket.write(data);
      this.#socket.uncork();
    });
  }

  async #answers(reader: Reader): Promise<never> {
    for (;;) {
      const header = await reader.bytes(16);
      if (header.readUInt32BE(0) !== MAGIC_SIMPLE_REPLY) throw new Error('NBD: a reply without its magic number');
      const cookie = header.readBigUInt64BE(8);
      const open = this.#open.get(cookie);
      if (!open) throw new Error('NBD: a reply to nothing');
      const error = header.readUInt32BE(4);
      const data = error === 0 ? await reader.bytes(open.length) : Buffer.alloc(0);
      this.#open.delete(cookie);
      if (error === 0) open.resolve(data);
      else open.reject(new NbdError(errorName(error), `NBD error ${errorName(error)}`));
    }
  }
}

export function encodeRequest(command: number, flags: number, cookie: bigint, offset: number, length: number): Buffer {
  const b = Buffer.alloc(28);
  b.writeUInt32BE(MAGIC_REQUEST, 0);
  b.writeUInt16BE(flags, 4);
  b.writeUInt16BE(command, 6);
  b.writeBigUInt64BE(cookie, 8);
  b.writeBigUInt64BE(BigInt(offset), 16);
  b.writeUInt32BE(length, 24);
  return b;
}

function errorName(error: number): NbdErrorName {
  for (const [name, value] of Object.entries(NBD_ERROR)) if (value === error) return name as NbdErrorName;
  return 'EIO';
}

/** Whole numbers of bytes from a socket. */
class Reader {
  readonly #chunks: Buffer[] = [];
  #have = 0;
  #wanted: { length: number; resolve: (b: Buffer) => void; reject: (e: Error) => void } | undefined;
  #error: Error | undefined;

  constructor(socket: net.Socket) {
    socket.on('data', (c) => {
      this.#chunks.push(c);
      this.#have += c.length;
      this.#serve();
    });
    socket.on('error', (e) => this.#fail(e));
    socket.on('close', () => this.#fail(new Error('NBD: the server closed the connection')));
  }

  bytes(length: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject };
      this.#serve();
    });
  }

  #fail(e: Error): void {
    this.#error ??= e;
    this.#serve();
  }

  #serve(): void {
    const w = this.#wanted;
    if (!w) return;
    if (this.#have >= w.length) {
      this.#wanted = undefined;
      const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
      this.#chunks.length = 0;
      this.#have -= w.length;
      if (this.#have > 0) this.#chunks.push(all.subarray(w.length));
      w.resolve(all.subarray(0, w.length));
    } else if (this.#error) {
      this.#wanted = undefined;
      w.reject(this.#error);
    }
  }
}
