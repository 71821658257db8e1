// An NBD server for one export on a Unix socket: fixed newstyle handshake, simple or structured replies.
//
// A connection that asks for more than it may have open is not read from until answers have left. A client that
// breaks the protocol loses its connection; a request that cannot be done gets an error; neither touches the others.
import { unlinkSync } from 'node:fs';
import * as net from 'node:net';
import {
  ClientParser,
  encodeDataChunk,
  encodeErrorChunk,
  encodeExportName,
  encodeGreeting,
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeInfoText,
  encodeOptionReply,
  encodeServer,
  encodeSimpleReply,
  type NbdRequest,
  parseGo,
} from './codec.ts';
import { BLOCK_SIZE, COMMAND, COMMAND_FLAG, FIXED_NEWSTYLE, INFO, NO_ZEROES, OPTION, OPTION_REPLY, TRANSMISSION } from './protocol.ts';
import { NbdError, type NbdExport, nbdErrorNumber } from './types.ts';

/** Open requests and bytes of one connection before it is not read any more. QEMU has 16 requests open at most. */
const OPEN_REQUESTS = 256;
const OPEN_BYTES = 128 * 1024 * 1024;
/** Clients at a time: QEMU uses one; tools a few. */
const CONNECTIONS = 32;
/** Options of one handshake: a client needs a handful. */
const OPTIONS = 64;

export interface NbdServerEvents {
  /** A client broke the protocol or the socket failed. */
  trouble(message: string): void;
}

export class NbdServer {
  readonly #export: NbdExport;
  readonly #events: NbdServerEvents;
  readonly #server: net.Server;
  readonly #connections = new Set<Connection>();

  constructor(exported: NbdExport, events: NbdServerEvents) {
    this.#export = exported;
    this.#events = events;
    this.#server = net.createServer((socket) => {
      const c = new Connection(socket, this.#export, (m) => this.#events.trouble(m));
      this.#connections.add(c);
      socket.on('close', () => this.#connections.delete(c));
    });
    this.#server.maxConnections = CONNECTIONS;
  }

  /** A socket file left by a dead process is replaced. */
  async listen(socketPath: string): Promise<void> {
    try {
      unlinkSync(socketPath);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new Error(`cannot replace the socket ${socketPath}: ${(e as Error).message}`);
    }
    await new Promise<void>((resolve, reject) => {
      const failed = (e: Error): void => reject(new Error(`cannot export '${this.#export.name}' on ${socketPath}: ${e.message}`));
      this.#server.once('error', failed);
      this.#server.listen(socketPath, () => {
        this.#server.off('error', failed);
        this.#server.on('error', (e) => this.#events.trouble(`NBD socket: ${e.message}`));
        resolve();
      });
    });
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Open requests are dropped unanswered. */
  async close(): Promise<void> {
    for (const c of this.#connections) c.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

class Connection {
  readonly #socket: net.Socket;
  readonly #export: NbdExport;
  readonly #trouble: (message: string) => void;
  readonly #parser = new ClientParser();
  #noZeroes = false;
  #structured = false;
  #options = 0;
  #openRequests = 0;
  #openBytes = 0;
  #corked = false;
  #leaving = false;

  constructor(socket: net.Socket, exported: NbdExport, trouble: (message: string) => void) {
    this.#socket = socket;
    this.#export = exported;
    this.#trouble = trouble;
    socket.on('data', (chunk) => this.#received(chunk));
    // A client that went away is no trouble of ours: its open requests end without an answer.
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => this.#resumeIfRoom());
    socket.write(encodeGreeting(FIXED_NEWSTYLE | NO_ZEROES));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    for (const item of this.#parser.push(chunk)) {
      if (this.#socket.destroyed || this.#leaving) return;
      switch (item.kind) {
        case 'clientFlags':
          if ((item.flags & ~(FIXED_NEWSTYLE | NO_ZEROES)) !== 0) this.#break(`flags ${item.flags.toString(16)} that we did not offer`);
          this.#noZeroes = (item.flags & NO_ZEROES) !== 0;
          break;
        case 'option':
          if (++this.#options > OPTIONS) this.#break(`more than ${OPTIONS} options`);
          else this.#option(item.option, item.data, item.tooBig);
          break;
        case 'request':
          this.#request(item.request);
          break;
        case 'garbage':
          this.#break(item.message);
          break;
        default:
          item satisfies never;
      }
    }
  }

  #break(what: string): void {
    this.#trouble(`an NBD client sent ${what}: disconnected`);
    this.#socket.destroy();
  }

  #option(option: number, data: Buffer, tooBig: boolean): void {
    const reply = (kind: number, body?: Buffer): void => {
      this.#socket.write(encodeOptionReply(option, kind, body));
    };
    if (tooBig && option !== OPTION.exportName) {
      reply(OPTION_REPLY.tooBig);
      return;
    }
    switch (option) {
      case OPTION.exportName: {
        const name = data.toString('utf8');
        // The protocol has no error reply here: an unknown name ends the connection.
        if (tooBig || !this.#isOurs(name)) {
          this.#break(`the name of an unknown export, '${printable(name)}'`);
          break;
        }
        this.#socket.write(encodeExportName(this.#export.sizeBytes, this.#flags(), this.#noZeroes));
        this.#parser.startTransmission();
        break;
      }
      case OPTION.abort:
        reply(OPTION_REPLY.ack);
        this.#leave();
        break;
      case OPTION.list:
        if (data.length === 0) {
          reply(OPTION_REPLY.server, encodeServer(this.#export.name));
          reply(OPTION_REPLY.ack);
        } else reply(OPTION_REPLY.invalid, Buffer.from('LIST takes no data'));
        break;
      case OPTION.structuredReply:
        if (data.length === 0) {
          this.#structured = true;
          reply(OPTION_REPLY.ack);
        } else reply(OPTION_REPLY.invalid, Buffer.from('STRUCTURED_REPLY takes no data'));
        break;
      case OPTION.info:
      case OPTION.go: {
        const go = parseGo(data);
        if (!go) {
          reply(OPTION_REPLY.invalid, Buffer.from('malformed'));
          break;
        }
        if (!this.#isOurs(go.name)) {
          reply(OPTION_REPLY.unknownExport, Buffer.from(`no export '${printable(go.name)}' here`));
          break;
        }
        reply(OPTION_REPLY.info, encodeInfoExport(this.#export.sizeBytes, this.#flags()));
        reply(OPTION_REPLY.info, encodeInfoBlockSize());
        if (go.wanted.includes(INFO.name)) reply(OPTION_REPLY.info, encodeInfoText(INFO.name, this.#export.name));
        if (go.wanted.includes(INFO.description)) reply(OPTION_REPLY.info, encodeInfoText(INFO.description, this.#export.description));
        reply(OPTION_REPLY.ack);
        if (option === OPTION.go) this.#parser.startTransmission();
        break;
      }
      default:
        reply(OPTION_REPLY.unsupported);
    }
  }

  /** The empty name asks for the default export: there is only one. */
  #isOurs(name: string): boolean {
    return name === '' || name === this.#export.name;
  }

  #flags(): number {
    const t = TRANSMISSION;
    return (
      t.hasFlags |
      t.sendFlush |
      t.sendFua |
      t.sendWriteZeroes |
      (this.#export.trim ? t.sendTrim : 0) |
      (this.#export.multiConnection ? t.canMultiConn : 0)
    );
  }

  #request(r: NbdRequest): void {
    if (r.command === COMMAND.disconnect) {
      this.#leave();
      return;
    }
    const cost = r.command === COMMAND.read || r.command === COMMAND.write ? Math.min(r.length, BLOCK_SIZE.maximum) : 0;
    this.#openRequests++;
    this.#openBytes += cost;
    if (this.#isFull()) this.#socket.pause();
    const ended = (error: number, data: Uint8Array | undefined, message: string): void => {
      this.#openRequests--;
      this.#openBytes -= cost;
      this.#answer(r, error, data, message);
      if (this.#leaving) this.#leave();
      else this.#resumeIfRoom();
    };
    this.#perform(r).then(
      (data) => ended(0, data, ''),
      (e: unknown) => ended(nbdErrorNumber(e), undefined, e instanceof Error ? e.message : 'failed'),
    );
  }

  async #perform(r: NbdRequest): Promise<Uint8Array | undefined> {
    const fua = (r.flags & COMMAND_FLAG.fua) !== 0;
    if (r.command === COMMAND.flush) {
      await this.#export.flush();
      return undefined;
    }
    const changes = r.command === COMMAND.write || r.command === COMMAND.writeZeroes;
    if (!(changes || r.command === COMMAND.read || r.command === COMMAND.trim))
      throw new NbdError('EINVAL', `unknown command ${r.command}`);
    if (r.length === 0) throw new NbdError('EINVAL', 'a request of no bytes');
    if (r.offset + r.length > this.#export.sizeBytes) {
      throw new NbdError(changes ? 'ENOSPC' : 'EINVAL', `${r.length} bytes at ${r.offset} are outside of the disk`);
    }
    switch (r.command) {
      case COMMAND.read:
        if (r.length > BLOCK_SIZE.maximum) throw new NbdError('EOVERFLOW', `a read of more than ${BLOCK_SIZE.maximum} bytes`);
        return await this.#export.read(r.offset, r.length);
      case COMMAND.write:
        if (!r.data) throw new NbdError('EINVAL', `a write of more than ${BLOCK_SIZE.maximum} bytes`);
        await this.#export.write(r.offset, r.data, fua);
        return undefined;
      case COMMAND.writeZeroes:
        await this.#export.writeZeroes(r.offset, r.length, fua);
        return undefined;
      default:
        if (!this.#export.trim) throw new NbdError('EINVAL', 'TRIM is not offered');
        await this.#export.trim(r.offset, r.length, fua);
        return undefined;
    }
  }

  #answer(r: NbdRequest, error: number, data: Uint8Array | undefined, message: string): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    // One writev for all answers of an event-loop turn.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    if (r.command === COMMAND.read && this.#structured) {
      this.#socket.write(error === 0 ? encodeDataChunk(r.cookie, r.offset, r.length) : encodeErrorChunk(r.cookie, error, message));
    } else this.#socket.write(encodeSimpleReply(r.cookie, error));
    if (data && error === 0) this.#socket.write(data);
  }

  /** ABORT or DISC: nothing more is read; answers that are still due leave first. */
  #leave(): void {
    this.#leaving = true;
    if (this.#openRequests === 0) this.#socket.end();
  }

  #isFull(): boolean {
    return this.#openRequests >= OPEN_REQUESTS || this.#openBytes >= OPEN_BYTES || this.#socket.writableLength > OPEN_BYTES;
  }

  #resumeIfRoom(): void {
    if (this.#socket.isPaused() && !this.#isFull()) this.#socket.resume();
  }
}

/** A client's text, safe for a log. */
function printable(text: string): string {
  return text.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}
