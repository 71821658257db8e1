// One client's connection: its handshake, then its requests, each done by the export and answered when it has ended.
//
// A client that asks for more than it may have open is not read from until answers have left, and what it had sent already waits. A
// client that breaks the protocol loses its connection; a request that cannot be done gets an error; neither touches the others.
import type * as net from 'node:net';
import { type ClientItem, ClientParser, type NbdRequest } from './codec.ts';
import { Handshake, type HandshakeStep } from './handshake.ts';
import { BLOCK_SIZE, COMMAND, COMMAND_FLAG, FIXED_NEWSTYLE, NO_ZEROES } from './protocol.ts';
import {
  encodeBlockStatusChunk,
  encodeDataChunk,
  encodeErrorChunk,
  encodeGreeting,
  encodeHoleChunk,
  encodeSimpleReply,
  extentsToSend,
  piecesOfRead,
} from './replies.ts';
import { NbdError, type NbdExport, type NbdExtent, nbdErrorNumber } from './types.ts';

/** Open requests and bytes of one connection before it is not read any more. QEMU has 16 requests open at most. */
const OPEN_REQUESTS = 256;
const OPEN_BYTES = 128 * 1024 * 1024;

/** A reply without data has 16 bytes. */
const SMALL_BYTES = 64;

type Done = Uint8Array | NbdExtent[] | undefined;

export class Connection {
  readonly #socket: net.Socket;
  readonly #export: NbdExport;
  readonly #trouble: (message: string) => void;
  readonly #parser = new ClientParser();
  readonly #handshake: Handshake;
  /** Came in one portion with those that filled the limits: no more than a portion holds. */
  readonly #waiting: NbdRequest[] = [];
  readonly #deadline: NodeJS.Timeout;
  #openRequests = 0;
  #openBytes = 0;
  #corked = false;
  /** Of this turn, not given to the socket yet. */
  #small: Uint8Array[] = [];
  #leaving = false;

  /** @param handshakeMs A client that has not chosen an export by then gives its place to others. */
  constructor(socket: net.Socket, exported: NbdExport, trouble: (message: string) => void, handshakeMs: number) {
    this.#socket = socket;
    this.#export = exported;
    this.#trouble = trouble;
    this.#handshake = new Handshake(exported);
    socket.on('data', (chunk) => this.#received(chunk));
    // A client that went away is no trouble of ours: its open requests end without an answer, those that wait are not begun.
    socket.on('error', () => socket.destroy());
    this.#deadline = setTimeout(() => this.#break(`no choice of an export within ${handshakeMs} ms`), handshakeMs).unref();
    socket.on('close', () => {
      clearTimeout(this.#deadline);
      this.#waiting.length = 0;
    });
    socket.on('drain', () => this.#goOn());
    socket.write(encodeGreeting(FIXED_NEWSTYLE | NO_ZEROES));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #received(portion: Buffer): void {
    for (const item of this.#parser.push(portion)) {
      if (this.#socket.destroyed || this.#leaving) return;
      this.#take(item);
    }
  }

  #take(item: ClientItem): void {
    switch (item.kind) {
      case 'clientFlags':
        this.#step(this.#handshake.clientFlags(item.flags));
        break;
      case 'option':
        this.#step(this.#handshake.option(item.option, item.data, item.tooBig));
        break;
      case 'request':
        if (item.request.command === COMMAND.disconnect) this.#leave();
        else if (this.#isFull()) this.#waiting.push(item.request);
        else this.#begin(item.request);
        break;
      case 'garbage':
        this.#break(item.message);
        break;
      default:
        item satisfies never;
    }
  }

  #step(step: HandshakeStep): void {
    if (step.next === 'broken') {
      this.#break(step.what);
      return;
    }
    for (const answer of step.answers) this.#socket.write(answer);
    if (step.next === 'transmission') {
      clearTimeout(this.#deadline);
      this.#parser.startTransmission();
    } else if (step.next === 'leave') this.#leave();
  }

  #break(what: string): void {
    this.#trouble(`an NBD client sent ${what}: disconnected`);
    this.#socket.destroy();
  }

  #begin(r: NbdRequest): void {
    const cost = r.command === COMMAND.read || r.command === COMMAND.write ? Math.min(r.length, BLOCK_SIZE.maximum) : 0;
    this.#openRequests++;
    this.#openBytes += cost;
    if (this.#isFull()) this.#socket.pause();
    const ended = (answer: () => void): void => {
      this.#openRequests--;
      this.#openBytes -= cost;
      this.#answer(answer);
      this.#goOn();
    };
    this.#perform(r).then(
      (done) => ended(() => this.#succeeded(r, done)),
      (e: unknown) => ended(() => this.#failed(r, e)),
    );
  }

  #perform(r: NbdRequest): Promise<Done> {
    try {
      this.#check(r);
    } catch (e) {
      return Promise.reject(e);
    }
    // Nearly all there are: without a promise more than the disk's own.
    if (r.command === COMMAND.write && r.data) {
      return this.#export.write(r.offset, r.data, (r.flags & COMMAND_FLAG.fua) !== 0) as Promise<undefined>;
    }
    if (r.command === COMMAND.read) return this.#export.read(r.offset, r.length);
    return this.#performOther(r);
  }

  async #performOther(r: NbdRequest): Promise<Done> {
    const disk = this.#export;
    const fua = (r.flags & COMMAND_FLAG.fua) !== 0;
    switch (r.command) {
      case COMMAND.flush:
        await disk.flush();
        return undefined;
      case COMMAND.writeZeroes:
        await disk.writeZeroes(r.offset, r.length, fua, {
          noHole: (r.flags & COMMAND_FLAG.noHole) !== 0,
          fast: (r.flags & COMMAND_FLAG.fastZero) !== 0,
        });
        return undefined;
      case COMMAND.trim:
        await disk.trim?.(r.offset, r.length, fua);
        return undefined;
      default: {
        const extents = extentsToSend(
          (await disk.extents?.(r.offset, r.length)) ?? [],
          r.length,
          (r.flags & COMMAND_FLAG.requestOne) !== 0,
        );
        if (extents.length === 0) throw new NbdError('EIO', `no block status of ${r.offset}`);
        return extents;
      }
    }
  }

  /** Throws what a request is refused with. Everything that passes may be given to the export. */
  #check(r: NbdRequest): void {
    const changes = r.command === COMMAND.write || r.command === COMMAND.writeZeroes || r.command === COMMAND.trim;
    const allowed = this.#allowedFlags(r.command);
    if (allowed === undefined) throw new NbdError('EINVAL', `command ${r.command} is unknown or was not offered`);
    if (changes && this.#export.readOnly) throw new NbdError('EPERM', 'this export is read-only');
    if ((r.flags & ~allowed) !== 0) throw new NbdError('EINVAL', `flags ${r.flags.toString(16)} do not belong to command ${r.command}`);
    if (r.command === COMMAND.flush) return;
    if (r.length === 0) throw new NbdError('EINVAL', 'a request of no bytes');
    if (r.offset + r.length > this.#export.sizeBytes) {
      const adds = r.command === COMMAND.write || r.command === COMMAND.writeZeroes;
      throw new NbdError(adds ? 'ENOSPC' : 'EINVAL', `${r.length} bytes at ${r.offset} are outside of the disk`);
    }
    if (r.length <= BLOCK_SIZE.maximum) return;
    if (r.command === COMMAND.read) throw new NbdError('EOVERFLOW', `a read of more than ${BLOCK_SIZE.maximum} bytes`);
    if (r.command === COMMAND.write) throw new NbdError('EINVAL', `a write of more than ${BLOCK_SIZE.maximum} bytes`);
  }

  /** Undefined: this command is not done here. FUA means nothing for what does not write, and is let pass. */
  #allowedFlags(command: number): number | undefined {
    const f = COMMAND_FLAG;
    switch (command) {
      case COMMAND.read:
        return f.fua | (this.#handshake.structured ? f.dontFragment : 0);
      case COMMAND.write:
      case COMMAND.flush:
        return f.fua;
      case COMMAND.trim:
        return this.#export.trim ? f.fua : undefined;
      case COMMAND.writeZeroes:
        return f.fua | f.noHole | (this.#export.fastZero ? f.fastZero : 0);
      case COMMAND.blockStatus:
        return this.#handshake.allocation ? f.fua | f.requestOne : undefined;
      default:
        return undefined;
    }
  }

  #succeeded(r: NbdRequest, done: Done): void {
    if (r.command === COMMAND.blockStatus) this.#write(encodeBlockStatusChunk(r.cookie, Array.isArray(done) ? done : []));
    else if (r.command !== COMMAND.read || !(done instanceof Uint8Array)) this.#write(encodeSimpleReply(r.cookie, 0));
    else if (!this.#handshake.structured) {
      this.#write(encodeSimpleReply(r.cookie, 0));
      this.#write(done);
    } else this.#sendRead(r, done);
  }

  #sendRead(r: NbdRequest, data: Uint8Array): void {
    const whole = (r.flags & COMMAND_FLAG.dontFragment) !== 0;
    const pieces = piecesOfRead(data);
    // In one chunk: as data, unless all of it is a hole.
    if (whole && pieces.length > 1) pieces.splice(0, pieces.length, { start: 0, end: data.length, hole: false });
    for (const p of pieces) {
      const at = r.offset + p.start;
      const done = p.end === data.length;
      if (p.hole) this.#write(encodeHoleChunk(r.cookie, at, p.end - p.start, done));
      else {
        this.#write(encodeDataChunk(r.cookie, at, p.end - p.start, done));
        this.#write(data.subarray(p.start, p.end));
      }
    }
  }

  #failed(r: NbdRequest, e: unknown): void {
    const number = nbdErrorNumber(e);
    const wantsChunk = r.command === COMMAND.read || r.command === COMMAND.blockStatus;
    if (wantsChunk && this.#handshake.structured) {
      const { message, offset } = e as { message?: unknown; offset?: unknown };
      const where = typeof offset === 'number' && offset >= r.offset && offset < r.offset + r.length ? offset : undefined;
      this.#write(encodeErrorChunk(r.cookie, number, typeof message === 'string' ? message : 'failed', where));
    } else this.#write(encodeSimpleReply(r.cookie, number));
  }

  #answer(write: () => void): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    // One writev for all answers of an event-loop turn.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(this.#uncork);
    }
    write();
  }

  readonly #uncork = (): void => {
    this.#corked = false;
    this.#writeSmall();
    this.#socket.uncork();
  };

  /** In the order of the calls. What is small is put together: a call of the socket for each costs more. */
  #write(bytes: Uint8Array): void {
    if (bytes.length > SMALL_BYTES) {
      this.#writeSmall();
      this.#socket.write(bytes);
    } else this.#small.push(bytes);
  }

  #writeSmall(): void {
    const [first, second] = this.#small;
    if (!first || this.#socket.destroyed) return;
    this.#socket.write(second ? Buffer.concat(this.#small) : first);
    this.#small = [];
  }

  /** ABORT or DISC: nothing more is read; answers that are still due leave first. */
  #leave(): void {
    this.#leaving = true;
    if (this.#openRequests > 0 || this.#waiting.length > 0) return;
    this.#writeSmall();
    this.#socket.end();
  }

  #isFull(): boolean {
    return this.#openRequests >= OPEN_REQUESTS || this.#openBytes >= OPEN_BYTES || this.#socket.writableLength > OPEN_BYTES;
  }

  /** There may be room again. */
  #goOn(): void {
    while (!this.#isFull()) {
      const next = this.#waiting.shift();
      if (!next) break;
      this.#begin(next);
    }
    if (this.#leaving) this.#leave();
    else if (this.#socket.isPaused() && !this.#isFull()) this.#socket.resume();
  }
}
