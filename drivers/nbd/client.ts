// A small NBD client on a Unix socket: what tests and tools need of the protocol, many requests at a time. It is strict: a server
// that leaves a byte of a read out, sends one twice or answers what was not asked loses the connection.
import * as net from 'node:net';
import { type Chunk, decodeChunk, encodeGo, encodeMetaContextQuery, encodeOption, encodeRequest } from './client-codec.ts';
import {
  BASE_ALLOCATION,
  BLOCK_SIZE,
  CHUNK_FLAG_DONE,
  COMMAND,
  COMMAND_FLAG,
  FIXED_NEWSTYLE,
  INFO,
  MAGIC_OPTION,
  MAGIC_OPTION_REPLY,
  MAGIC_SERVER,
  MAGIC_SIMPLE_REPLY,
  MAGIC_STRUCTURED_REPLY,
  NBD_ERROR,
  type NbdErrorName,
  NO_ZEROES,
  OPTION,
  OPTION_REPLY,
} from './protocol.ts';
import { NbdError, type NbdExtent, type ZeroesOrder } from './types.ts';

/** A chunk is never longer: the largest read and its offset, or 64 KiB of extents. */
const CHUNK_MAX_BYTES = BLOCK_SIZE.maximum + 8;

interface Open {
  command: number;
  offset: number;
  length: number;
  resolve: (done: Done) => void;
  reject: (e: Error) => void;
}

interface Done {
  /** Of a read. */
  data: Buffer;
  /** Of a block status. */
  extents: NbdExtent[];
  /** Of a structured read: how many. */
  dataChunks: number;
  holeChunks: number;
}

export interface NbdClientOptions {
  /** Structured replies, and block status if the server has it. */
  structured?: boolean;
}

export class NbdClient {
  readonly sizeBytes: number;
  readonly flags: number;
  /** Block status was agreed on. */
  readonly allocation: boolean;
  readonly #socket: net.Socket;
  readonly #open = new Map<bigint, Open>();
  #next = 1n;
  #lost: Error | undefined;

  private constructor(socket: net.Socket, reader: Reader, agreed: Agreed) {
    this.#socket = socket;
    this.sizeBytes = agreed.sizeBytes;
    this.flags = agreed.flags;
    this.allocation = agreed.allocation;
    this.#answers(reader).catch((e: Error) => {
      this.#lost = e;
      socket.destroy();
      for (const o of this.#open.values()) o.reject(e);
      this.#open.clear();
    });
  }

  static async connect(socketPath: string, name: string, options: NbdClientOptions = {}): Promise<NbdClient> {
    const socket = net.connect(socketPath);
    const reader = new Reader(socket);
    try {
      return new NbdClient(socket, reader, await agree(socket, reader, name, options));
    } catch (e) {
      socket.destroy();
      throw new Error(`${socketPath}: ${(e as Error).message}`);
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return (await this.#request(COMMAND.read, 0, offset, length)).data;
  }

  /** And of how many chunks the answer was. */
  async readInChunks(offset: number, length: number, dontFragment = false): Promise<Pick<Done, 'data' | 'dataChunks' | 'holeChunks'>> {
    return await this.#request(COMMAND.read, dontFragment ? COMMAND_FLAG.dontFragment : 0, offset, length);
  }

  async write(offset: number, data: Uint8Array, fua = false): Promise<void> {
    await this.#request(COMMAND.write, fua ? COMMAND_FLAG.fua : 0, offset, data.length, data);
  }

  async writeZeroes(offset: number, length: number, fua = false, order: Partial<ZeroesOrder> = {}): Promise<void> {
    const f = COMMAND_FLAG;
    const flags = (fua ? f.fua : 0) | (order.noHole ? f.noHole : 0) | (order.fast ? f.fastZero : 0);
    await this.#request(COMMAND.writeZeroes, flags, offset, length);
  }

  async trim(offset: number, length: number, fua = false): Promise<void> {
    await this.#request(COMMAND.trim, fua ? COMMAND_FLAG.fua : 0, offset, length);
  }

  /** From `offset` on; may end before `length`. */
  async blockStatus(offset: number, length: number, onlyOne = false): Promise<NbdExtent[]> {
    return (await this.#request(COMMAND.blockStatus, onlyOne ? COMMAND_FLAG.requestOne : 0, offset, length)).extents;
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

  #request(command: number, flags: number, offset: number, length: number, data?: Uint8Array): Promise<Done> {
    return new Promise((resolve, reject) => {
      if (this.#lost) {
        reject(this.#lost);
        return;
      }
      const cookie = this.#next++;
      this.#open.set(cookie, { command, offset, length, resolve, reject });
      this.#socket.cork();
      this.#socket.write(encodeRequest(command, flags, cookie, offset, length));
      if (data) this.#socket.write(data);
      this.#socket.uncork();
    });
  }

  async #answers(reader: Reader): Promise<never> {
    const chunked = new Map<bigint, ChunkedReply>();
    for (;;) {
      const magic = (await reader.bytes(4)).readUInt32BE(0);
      const header = await reader.bytes(magic === MAGIC_STRUCTURED_REPLY ? 16 : 12);
      const cookie = header.readBigUInt64BE(4);
      const open = this.#open.get(cookie);
      if (magic !== MAGIC_SIMPLE_REPLY && magic !== MAGIC_STRUCTURED_REPLY) throw new Error('NBD: a reply without its magic number');
      if (!open) throw new Error('NBD: a reply to nothing');
      let reply: ChunkedReply;
      if (magic === MAGIC_SIMPLE_REPLY) {
        reply = new ChunkedReply(open);
        const error = header.readUInt32BE(0);
        if (error !== 0) reply.take({ kind: 'error', error, message: `NBD error ${errorName(error)}`, offset: undefined });
        else if (open.command === COMMAND.read && open.length > 0)
          reply.take({ kind: 'data', offset: open.offset, data: await reader.bytes(open.length) });
      } else {
        reply = chunked.get(cookie) ?? new ChunkedReply(open);
        chunked.set(cookie, reply);
        const length = header.readUInt32BE(12);
        if (length > CHUNK_MAX_BYTES) throw new Error(`NBD: a chunk of ${length} bytes`);
        const chunk = decodeChunk(header.readUInt16BE(2), await reader.bytes(length));
        if (!chunk) throw new Error(`NBD: a malformed chunk of kind ${header.readUInt16BE(2)}`);
        reply.take(chunk);
        if ((header.readUInt16BE(0) & CHUNK_FLAG_DONE) === 0) continue;
        chunked.delete(cookie);
      }
      reply.end();
      this.#open.delete(cookie);
    }
  }
}

/** One reply, chunk by chunk. Throws what no honest server sends. */
class ChunkedReply {
  readonly #open: Open;
  readonly #done: Done;
  #covered = 0;
  readonly #seen: { start: number; end: number }[] = [];
  #error: NbdError | undefined;

  constructor(open: Open) {
    this.#open = open;
    const data = open.command === COMMAND.read ? Buffer.alloc(Math.min(open.length, BLOCK_SIZE.maximum)) : Buffer.alloc(0);
    this.#done = { data, extents: [], dataChunks: 0, holeChunks: 0 };
  }

  take(chunk: Chunk): void {
    switch (chunk.kind) {
      case 'none':
        break;
      case 'error':
        this.#error = new NbdError(errorName(chunk.error), chunk.message, chunk.offset);
        break;
      case 'data':
        chunk.data.copy(this.#done.data, this.#cover(chunk.offset, chunk.data.length));
        this.#done.dataChunks++;
        break;
      case 'hole':
        this.#cover(chunk.offset, chunk.length);
        this.#done.holeChunks++;
        break;
      case 'blockStatus':
        if (this.#open.command !== COMMAND.blockStatus) throw new Error('NBD: a block status that was not asked for');
        this.#done.extents.push(...chunk.extents);
        break;
      default:
        chunk satisfies never;
    }
  }

  end(): void {
    const { command, length, resolve, reject } = this.#open;
    if (this.#error) reject(this.#error);
    else if (command === COMMAND.read && this.#covered !== length) throw new Error(`NBD: ${this.#covered} bytes of a read of ${length}`);
    else if (command === COMMAND.blockStatus && this.#done.extents.length === 0) throw new Error('NBD: a block status of nothing');
    else resolve(this.#done);
  }

  /** Answers where in the read it begins. */
  #cover(offset: number, length: number): number {
    const start = offset - this.#open.offset;
    const end = start + length;
    const outside = this.#open.command !== COMMAND.read || length === 0 || start < 0 || end > this.#done.data.length;
    if (outside || this.#seen.some((s) => start < s.end && end > s.start))
      throw new Error(`NBD: a piece of ${length} bytes at ${offset} that is none of the read's`);
    this.#seen.push({ start, end });
    this.#covered += length;
    return start;
  }
}

interface Agreed {
  sizeBytes: number;
  flags: number;
  allocation: boolean;
}

async function agree(socket: net.Socket, reader: Reader, name: string, options: NbdClientOptions): Promise<Agreed> {
  const greeting = await reader.bytes(18);
  if (greeting.readBigUInt64BE(0) !== MAGIC_SERVER || greeting.readBigUInt64BE(8) !== MAGIC_OPTION) throw new Error('not an NBD server');
  const clientFlags = Buffer.alloc(4);
  clientFlags.writeUInt32BE(FIXED_NEWSTYLE | NO_ZEROES, 0);
  socket.write(clientFlags);
  const agreed: Agreed = { sizeBytes: 0, flags: 0, allocation: false };
  /** One option and its answers, up to the last one. */
  const option = async (kind: number, data: Buffer): Promise<void> => {
    socket.write(encodeOption(kind, data));
    for (;;) {
      const header = await reader.bytes(20);
      if (header.readBigUInt64BE(0) !== MAGIC_OPTION_REPLY || header.readUInt32BE(8) !== kind) throw new Error('not an option reply');
      const reply = header.readUInt32BE(12);
      const body = await reader.bytes(Math.min(header.readUInt32BE(16), CHUNK_MAX_BYTES));
      if (reply === OPTION_REPLY.ack) return;
      if (reply === OPTION_REPLY.metaContext) agreed.allocation = true;
      else if (reply !== OPTION_REPLY.info)
        throw new Error(`export '${name}': option ${kind} refused (${reply.toString(16)}): ${body.toString('utf8')}`);
      else if (body.length >= 12 && body.readUInt16BE(0) === INFO.export) {
        agreed.sizeBytes = Number(body.readBigUInt64BE(2));
        agreed.flags = body.readUInt16BE(10);
      }
    }
  };
  if (options.structured) {
    await option(OPTION.structuredReply, Buffer.alloc(0));
    await option(OPTION.setMetaContext, encodeMetaContextQuery(name, [BASE_ALLOCATION]));
  }
  await option(OPTION.go, encodeGo(name));
  return agreed;
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
