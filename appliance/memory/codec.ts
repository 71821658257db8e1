// The engine's checkpoint stream, parsed in band and strictly: where a checkpoint begins and where its last byte is.
//
// Nothing is interpreted beyond what those boundaries need: RAM pages and device states are skipped, never copied. Where pages are, and
// of one block's pages a checksum, is told to who wants it. What is not listed here ends protection with the flag and its offset. A
// guess would put bytes into a running guest.
//
//   forward   preamble (configuration, commands) -> RAM of the synchronisation -> initial device state (opaque until the
//             secondary's READY) -> enterCheckpoints() -> per checkpoint: REQUEST, VMSTATE_SEND, RAM section, 00,
//             VMSTATE_SIZE size, device state
//
// All integers big endian. Source: QEMU 11.1: migration/savevm.c (sections), migration/ram.c (RAM records),
// migration/colo.c and qapi/migration.json COLOMessage (messages), the return path: return-codec.ts.
import { crc32 } from 'node:zlib';
import { StreamError } from './stream-error.ts';

/** COLOMessage, by its number on the wire. */
const REQUEST = 1;
const VMSTATE_SEND = 3;
const VMSTATE_SIZE = 4;

const FILE_MAGIC = 0x5145564d; // "QEVM"
const FILE_VERSION = 3;
const SECTION = { eof: 0x00, start: 0x01, part: 0x02, end: 0x03, configuration: 0x07, command: 0x08, footer: 0x7e } as const;
const COMMAND_OPEN_RETURN_PATH = 1;
const COMMAND_PING = 2;
/** Before the last RAM section of the synchronisation. */
const COMMAND_SWITCHOVER_START = 11;
/** Allowed where, with the length of their data. */
const PREAMBLE_COMMANDS = new Map([
  [COMMAND_OPEN_RETURN_PATH, 0],
  [COMMAND_PING, 4],
]);
const SYNCHRONISATION_COMMANDS = new Map([[COMMAND_SWITCHOVER_START, 0]]);
/** RAM record flags: the low 12 bits of be64 (address | flags). */
const RAM = { zero: 0x02, memorySize: 0x04, page: 0x08, endOfSection: 0x10, continue: 0x20 } as const;

export const PAGE_BYTES = 4096;
/** The machine type's name. */
const MAX_CONFIGURATION_BYTES = 256;
/** A PC has about ten RAM blocks; every memory device adds one (256 at most). */
const MAX_RAM_BLOCKS = 1024;
/** What the largest machine could have (16 TiB): keeps sums exact. */
const MAX_RAM_BYTES = 2 ** 44;
/** A PC's device state has 20-200 KB, a virtio-gpu's up to some 10 MB. */
export const MAX_DEVICE_STATE_BYTES = 256 * 1024 * 1024;

export type ForwardEvent =
  /** The guest's RAM blocks were announced: their sum. */
  | { kind: 'memory'; totalBytes: number }
  /** A checkpoint is asked for: its 4 bytes follow. */
  | { kind: 'request' }
  /** The primary has stopped and is drained: VMSTATE_SEND's bytes follow. */
  | { kind: 'sendBegin' }
  /** The pages are through: VMSTATE_SIZE's bytes follow, then this many of device state. */
  | { kind: 'deviceState'; bytes: number }
  /** The last byte of the checkpoint's device state was handed over. */
  | { kind: 'checkpointEnd'; pages: number; zeroPages: number; deviceStateBytes: number; bytes: number };

/** A part of the guest's RAM, as it was announced. */
export interface RamBlock {
  name: string;
  bytes: number;
  /** How many pages the blocks announced before it have. */
  firstPage: number;
}

/** Told of pages: `page` is the number in its block, from 0. */
export interface PageSink {
  /** The one block whose pages `passed` is told of: checksums cost 1 us a page. Null: of none. */
  summedBlock: string | null;
  /** A page's content begins at byte `offset` of the stream; told before those bytes. Not for pages of zeros. */
  begins?(offset: number, page: number, block: RamBlock): void;
  /** A page is through, also one of zeros: CRC-32 of its content; told before the next event. */
  passed?(page: number, crc: number): void;
}

export interface ForwardSink {
  /** Bytes in order, never less than a whole record's head; a view into what was fed. */
  bytes(chunk: Buffer): void;
  event(event: ForwardEvent): void;
  pages?: PageSink | undefined;
  /** A checkpoint's device state begins at byte `offset` of the stream. */
  deviceState?(offset: number): void;
}

/** Of a page of zeros: what a zero page record says, and what a fresh engine has. */
export const ZERO_PAGE_CRC = crc32(Buffer.alloc(PAGE_BYTES));

type ForwardState = 'preamble' | 'configured' | 'ram' | 'blocks' | 'section' | 'initialState' | 'message';

/** Primary to secondary. */
export class ForwardParser {
  readonly #sink: ForwardSink;
  #state: ForwardState = 'preamble';
  /** The head of a record that is not complete yet: less than 300 bytes. */
  #carry: Buffer | undefined;
  /** Offset in the stream of the first byte of the buffer in work. */
  #base = 0;
  /** Bytes of a page or a device state still to pass. */
  #skip = 0;
  #skipIsDeviceState = false;
  #checkpoints = false;
  #messageExpected: 'request' | 'send' | 'size' = 'request';
  #sectionId = -1;
  #sectionIsEnd = false;
  #sectionEndSeen = false;
  #blocks = new Map<string, RamBlock>();
  #announcedPages = 0;
  #blocksLeft = 0;
  /** What `continue` refers to: the last one named, also in an earlier checkpoint. */
  #block: RamBlock | undefined;
  /** Checksums are wanted of that block's pages; of the page in work: its number, and the checksum so far. */
  #isSummed = false;
  #page = 0;
  #pageCrc = 0;
  #initialStateBytes = 0;
  #pages = 0;
  #zeroPages = 0;
  #deviceStateBytes = 0;
  #checkpointStart = 0;

  constructor(sink: ForwardSink) {
    this.#sink = sink;
  }

  /** The secondary's READY goes on to the primary: the next forward byte is a message. Throws StreamError if that cannot be. */
  enterCheckpoints(): void {
    if (this.#state !== 'initialState') throw new StreamError(`READY in state '${this.#state}'`, this.#base);
    this.#state = 'message';
    this.#checkpoints = true;
  }

  /** Throws StreamError: nothing of the record that caused it was handed on; the parser must not be fed again. */
  feed(chunk: Buffer): void {
    const b = this.#carry ? Buffer.concat([this.#carry, chunk]) : chunk;
    this.#carry = undefined;
    let start = 0;
    let at = 0;
    // Hands over what is behind `start`, so that an event falls between the right bytes.
    const flush = (end: number) => {
      if (end > start) this.#sink.bytes(b.subarray(start, end));
      start = end;
    };
    while (at < b.length) {
      if (this.#skip > 0) {
        const n = Math.min(this.#skip, b.length - at);
        const isPage = this.#isSummed && !this.#skipIsDeviceState;
        if (isPage) this.#pageCrc = crc32(b.subarray(at, at + n), this.#pageCrc);
        at += n;
        this.#skip -= n;
        if (this.#skip > 0) continue;
        if (isPage) this.#sink.pages?.passed?.(this.#page, this.#pageCrc);
        else if (this.#skipIsDeviceState) at = this.#endCheckpoint(at, flush);
        continue;
      }
      if (this.#state === 'initialState') {
        this.#initialStateBytes += b.length - at;
        if (this.#initialStateBytes > MAX_DEVICE_STATE_BYTES) {
          throw new StreamError(`initial device state of more than ${MAX_DEVICE_STATE_BYTES} bytes`, this.#base + at);
        }
        at = b.length;
        break;
      }
      const next = this.#record(b, at, flush);
      if (next === undefined) break;
      at = next;
    }
    flush(at);
    if (at < b.length) this.#carry = Buffer.from(b.subarray(at));
    this.#base += at;
  }

  /** One record's head: the position behind it, or undefined when it is not complete. */
  #record(b: Buffer, at: number, flush: (end: number) => void): number | undefined {
    switch (this.#state) {
      case 'preamble':
        return this.#preamble(b, at);
      case 'configured':
      case 'section':
        return this.#section(b, at);
      case 'ram':
        return this.#ram(b, at);
      case 'blocks':
        return this.#announcedBlock(b, at, flush);
      case 'message':
        return this.#message(b, at, flush);
      case 'initialState':
        return b.length;
      default:
        return this.#state satisfies never;
    }
  }

  /** be32 "QEVM", be32 3, 07, be32 length, machine type. */
  #preamble(b: Buffer, at: number): number | undefined {
    if (b.length - at < 13) return undefined;
    const magic = b.readUInt32BE(at);
    if (magic !== FILE_MAGIC) throw this.#unknown('magic', magic, at);
    const version = b.readUInt32BE(at + 4);
    if (version !== FILE_VERSION) throw this.#unknown('stream version', version, at + 4);
    if (b[at + 8] !== SECTION.configuration) throw this.#unknown('section', b[at + 8], at + 8);
    const length = b.readUInt32BE(at + 9);
    if (length > MAX_CONFIGURATION_BYTES) throw this.#unknown('configuration length', length, at + 9);
    if (b.length - at < 13 + length) return undefined;
    this.#state = 'configured';
    return at + 13 + length;
  }

  /** Between sections: the type byte and what belongs to it. */
  #section(b: Buffer, at: number): number | undefined {
    const type = b[at];
    if (this.#state === 'configured') {
      if (type === SECTION.command) return this.#command(b, at);
      if (type !== SECTION.start) throw this.#unknown('section', type, at);
      // 01, be32 id, 03 "ram", be32 instance 0, be32 version 4
      if (b.length - at < 17) return undefined;
      if (b[at + 5] !== 3 || b.toString('latin1', at + 6, at + 9) !== 'ram')
        throw new StreamError('a section other than RAM', this.#base + at);
      const version = b.readUInt32BE(at + 13);
      if (version !== 4) throw this.#unknown('RAM version', version, at + 13);
      this.#sectionId = b.readUInt32BE(at + 1);
      this.#state = 'ram';
      return at + 17;
    }
    if (type === SECTION.eof && this.#checkpoints) {
      if (!this.#sectionEndSeen) throw new StreamError('a checkpoint without RAM', this.#base + at);
      this.#messageExpected = 'size';
      this.#state = 'message';
      return at + 1;
    }
    if (type === SECTION.command && !this.#checkpoints) return this.#command(b, at);
    if (type !== SECTION.part && type !== SECTION.end && type !== SECTION.footer) throw this.#unknown('section', type, at);
    if (b.length - at < 5) return undefined;
    const id = b.readUInt32BE(at + 1);
    if (id !== this.#sectionId) throw this.#unknown('section id', id, at + 1);
    if (type === SECTION.footer) {
      if (this.#sectionIsEnd) {
        this.#sectionIsEnd = false;
        this.#sectionEndSeen = true;
        if (!this.#checkpoints) this.#state = 'initialState';
      }
    } else {
      this.#sectionIsEnd = type === SECTION.end;
      this.#state = 'ram';
    }
    return at + 5;
  }

  /** 08, be16 command, be16 length, data. */
  #command(b: Buffer, at: number): number | undefined {
    if (b.length - at < 5) return undefined;
    const command = b.readUInt16BE(at + 1);
    const length = b.readUInt16BE(at + 3);
    const expectedLength = this.#state === 'configured' ? PREAMBLE_COMMANDS.get(command) : SYNCHRONISATION_COMMANDS.get(command);
    if (length !== expectedLength) throw this.#unknown('command', command, at + 1);
    return b.length - at < 5 + length ? undefined : at + 5 + length;
  }

  /** be64 (address | flags), without `continue` u8 length and the block's name, then what the flag says. */
  #ram(b: Buffer, at: number): number | undefined {
    if (b.length - at < 8) return undefined;
    const low = b.readUInt32BE(at + 4);
    const flags = low & 0xfff;
    const address = b.readUInt32BE(at) * 2 ** 32 + (low - flags);
    const what = flags & ~RAM.continue;
    let next = at + 8;
    switch (what) {
      case RAM.endOfSection:
        this.#state = 'section';
        return next;
      case RAM.memorySize:
        if (this.#checkpoints || this.#blocks.size > 0) throw this.#unknown('flag', flags, at);
        if (address > MAX_RAM_BYTES) throw new StreamError(`RAM of ${address} bytes`, this.#base + at);
        this.#blocksLeft = address;
        this.#state = 'blocks';
        if (address === 0) throw new StreamError('no RAM', this.#base + at);
        return next;
      case RAM.page:
      case RAM.zero: {
        const pages = this.#sink.pages;
        let block = this.#block;
        let isSummed = this.#isSummed;
        if ((flags & RAM.continue) === 0) {
          if (b.length - next < 1) return undefined;
          const length = b[next] ?? 0;
          if (b.length - next < 1 + length) return undefined;
          const name = b.toString('latin1', next + 1, next + 1 + length);
          block = this.#blocks.get(name);
          if (!block) throw new StreamError(`a page of the unknown block ${JSON.stringify(name)}`, this.#base + at);
          isSummed = name === pages?.summedBlock;
          next += 1 + length;
        }
        if (!block) throw new StreamError('a page without a block', this.#base + at);
        if (address >= block.bytes) throw new StreamError(`a page behind its block's end (0x${address.toString(16)})`, this.#base + at);
        if (what === RAM.zero) {
          if (b.length - next < 1) return undefined;
          if (b[next] !== 0) throw this.#unknown('fill byte', b[next], next);
          next += 1;
          this.#zeroPages++;
          if (isSummed) pages?.passed?.(address / PAGE_BYTES, ZERO_PAGE_CRC);
        } else {
          this.#page = address / PAGE_BYTES;
          this.#pageCrc = 0;
          this.#skip = PAGE_BYTES;
          this.#skipIsDeviceState = false;
          this.#pages++;
          pages?.begins?.(this.#base + next, this.#page, block);
        }
        this.#block = block;
        this.#isSummed = isSummed;
        return next;
      }
      default:
        throw this.#unknown('flag', flags, at);
    }
  }

  /** u8 length, name, be64 bytes: one RAM block of the list behind `memorySize`. */
  #announcedBlock(b: Buffer, at: number, flush: (end: number) => void): number | undefined {
    const length = b[at] ?? 0;
    if (b.length - at < 1 + length + 8) return undefined;
    const name = b.toString('latin1', at + 1, at + 1 + length);
    const bytes = Number(b.readBigUInt64BE(at + 1 + length));
    if (bytes > this.#blocksLeft || this.#blocks.has(name) || this.#blocks.size >= MAX_RAM_BLOCKS) {
      throw new StreamError(`RAM block ${JSON.stringify(name)} of ${bytes} bytes does not fit the announced memory`, this.#base + at);
    }
    this.#blocks.set(name, { name, bytes, firstPage: this.#announcedPages });
    this.#announcedPages += Math.ceil(bytes / PAGE_BYTES);
    this.#blocksLeft -= bytes;
    const next = at + 1 + length + 8;
    if (this.#blocksLeft === 0) {
      this.#state = 'ram';
      flush(next);
      let totalBytes = 0;
      for (const block of this.#blocks.values()) totalBytes += block.bytes;
      this.#sink.event({ kind: 'memory', totalBytes });
    }
    return next;
  }

  #message(b: Buffer, at: number, flush: (end: number) => void): number | undefined {
    if (b.length - at < 4) return undefined;
    const message = b.readUInt32BE(at);
    if (message === REQUEST && this.#messageExpected === 'request') {
      flush(at);
      this.#checkpointStart = this.#base + at;
      this.#sink.event({ kind: 'request' });
      this.#messageExpected = 'send';
      return at + 4;
    }
    if (message === VMSTATE_SEND && this.#messageExpected === 'send') {
      flush(at);
      this.#sink.event({ kind: 'sendBegin' });
      this.#pages = 0;
      this.#zeroPages = 0;
      this.#sectionEndSeen = false;
      this.#state = 'section';
      return at + 4;
    }
    if (message === VMSTATE_SIZE && this.#messageExpected === 'size') {
      if (b.length - at < 12) return undefined;
      const bytes = Number(b.readBigUInt64BE(at + 4));
      if (bytes === 0 || bytes > MAX_DEVICE_STATE_BYTES) throw new StreamError(`device state of ${bytes} bytes`, this.#base + at + 4);
      flush(at);
      this.#sink.event({ kind: 'deviceState', bytes });
      this.#deviceStateBytes = bytes;
      this.#skip = bytes;
      this.#skipIsDeviceState = true;
      this.#sink.deviceState?.(this.#base + at + 12);
      return at + 12;
    }
    throw this.#unknown(`message instead of '${this.#messageExpected}'`, message, at);
  }

  #endCheckpoint(at: number, flush: (end: number) => void): number {
    flush(at);
    this.#skipIsDeviceState = false;
    this.#messageExpected = 'request';
    this.#sink.event({
      kind: 'checkpointEnd',
      pages: this.#pages,
      zeroPages: this.#zeroPages,
      deviceStateBytes: this.#deviceStateBytes,
      bytes: this.#base + at - this.#checkpointStart,
    });
    return at;
  }

  #unknown(what: string, value: number | undefined, at: number): StreamError {
    return new StreamError(`unknown ${what} 0x${(value ?? 0).toString(16)}`, this.#base + at);
  }
}
