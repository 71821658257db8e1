// The bytes between two PairChannels inside one TLS connection: a fixed header of 24 bytes, then the payload. README.md holds the tables.
//
// Pure. Reading is strict: an unknown type, a set reserved bit, a length beyond the limit is a FrameError that names the field;
// the connection it came from is closed, never guessed about.

export const HEADER_BYTES = 24;
export const HELLO_BYTES = 48;
/** 'TwCh' */
export const HELLO_MAGIC = 0x54774368;
export const LINK_VERSION = 1;
/** The largest message. A checkpoint or a disk write is cut into smaller ones by its stream. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

export const FRAME_HELLO = 1;
export const FRAME_DATA = 2;
export const FRAME_ACK = 3;
export type FrameType = typeof FRAME_HELLO | typeof FRAME_DATA | typeof FRAME_ACK;

export interface FrameHeader {
  type: FrameType;
  /** Payload bytes that follow. */
  length: number;
  /** Data: the message's number in its session, from 1. Otherwise 0. */
  sequence: number;
  /** The sender has every message of the receiver's session up to this number. */
  acknowledged: number;
}

/** One side's life: a random number per PairChannel object, and how often `reset` was called on it. Incarnation 0n: not known. */
export interface SessionId {
  incarnation: bigint;
  resets: number;
}

export interface Hello {
  /** Index of the link in the configuration: catches crossed cables. */
  link: number;
  /** The sender's session. */
  own: SessionId;
  /** The session of the receiver that the sender believes in; incarnation 0n: none yet. */
  partner: SessionId;
  /** Cost (see session.ts) of messages that may wait at the sender of this hello for an earlier one. */
  receiveWindowBytes: number;
  maxMessageBytes: number;
}

/** The partner broke the protocol; the message names how. */
export class FrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FrameError';
  }
}

const HIGH = 0x1_0000_0000;

function writeNumber64(buffer: Buffer, value: number, offset: number): void {
  buffer.writeUInt32BE(Math.floor(value / HIGH), offset);
  buffer.writeUInt32BE(value % HIGH, offset + 4);
}

function readNumber64(buffer: Buffer, offset: number, field: string): number {
  const value = buffer.readUInt32BE(offset) * HIGH + buffer.readUInt32BE(offset + 4);
  if (!Number.isSafeInteger(value)) throw new FrameError(`${field} is beyond 2^53`);
  return value;
}

export function encodeHeader(header: FrameHeader): Buffer {
  const b = Buffer.allocUnsafe(HEADER_BYTES);
  encodeHeaderInto(b, 0, header);
  return b;
}

export function encodeHeaderInto(b: Buffer, at: number, header: FrameHeader): void {
  b.writeUInt32BE(header.type * 2 ** 24, at);
  b.writeUInt32BE(header.length, at + 4);
  writeNumber64(b, header.sequence, at + 8);
  writeNumber64(b, header.acknowledged, at + 16);
}

/** Reads the header at `at` of `b` (HEADER_BYTES long at least from there). */
export function decodeHeader(b: Buffer, maxMessageBytes = MAX_MESSAGE_BYTES, at = 0): FrameHeader {
  const kind = b.readUInt8(at);
  if (kind !== FRAME_HELLO && kind !== FRAME_DATA && kind !== FRAME_ACK) throw new FrameError(`unknown frame type ${kind}`);
  if (b.readUInt8(at + 1) !== 0 || b.readUInt16BE(at + 2) !== 0) throw new FrameError('reserved header bits are set');
  const length = b.readUInt32BE(at + 4);
  const sequence = readNumber64(b, at + 8, 'sequence');
  const acknowledged = readNumber64(b, at + 16, 'acknowledged');
  switch (kind) {
    case FRAME_DATA:
      if (length > maxMessageBytes) throw new FrameError(`a message of ${length} bytes, allowed are ${maxMessageBytes}`);
      if (sequence === 0) throw new FrameError('a message without a number');
      break;
    case FRAME_HELLO:
      if (length !== HELLO_BYTES) throw new FrameError(`a hello of ${length} bytes instead of ${HELLO_BYTES}`);
      if (sequence !== 0) throw new FrameError('a hello with a message number');
      break;
    case FRAME_ACK:
      if (length !== 0) throw new FrameError(`an acknowledgement with ${length} bytes`);
      if (sequence !== 0) throw new FrameError('an acknowledgement with a message number');
      break;
    default: {
      kind satisfies never;
    }
  }
  return { type: kind, length, sequence, acknowledged };
}

export function encodeHello(hello: Hello): Buffer {
  const b = Buffer.alloc(HELLO_BYTES);
  b.writeUInt32BE(HELLO_MAGIC, 0);
  b[4] = LINK_VERSION;
  b[5] = hello.link;
  b.writeBigUInt64BE(hello.own.incarnation, 8);
  b.writeUInt32BE(hello.own.resets, 16);
  b.writeBigUInt64BE(hello.partner.incarnation, 24);
  b.writeUInt32BE(hello.partner.resets, 32);
  b.writeUInt32BE(hello.receiveWindowBytes, 40);
  b.writeUInt32BE(hello.maxMessageBytes, 44);
  return b;
}

export function decodeHello(b: Buffer): Hello {
  if (b.length !== HELLO_BYTES) throw new FrameError(`a hello of ${b.length} bytes instead of ${HELLO_BYTES}`);
  if (b.readUInt32BE(0) !== HELLO_MAGIC) throw new FrameError('not a hello of this protocol');
  const version = b.readUInt8(4);
  if (version !== LINK_VERSION) throw new FrameError(`the partner speaks version ${version} of the link protocol, this is ${LINK_VERSION}`);
  if (b.readUInt16BE(6) !== 0 || b.readUInt32BE(20) !== 0 || b.readUInt32BE(36) !== 0) throw new FrameError('reserved hello bits are set');
  const own = { incarnation: b.readBigUInt64BE(8), resets: b.readUInt32BE(16) };
  if (own.incarnation === 0n) throw new FrameError('a hello without a session');
  return {
    link: b.readUInt8(5),
    own,
    partner: { incarnation: b.readBigUInt64BE(24), resets: b.readUInt32BE(32) },
    receiveWindowBytes: b.readUInt32BE(40),
    maxMessageBytes: b.readUInt32BE(44),
  };
}

/**
 * Cuts a byte stream into frames. `push` may be given any pieces; a payload is a view of its piece where it lies in one piece,
 * otherwise a copy. Holds at most one header and one payload (of at most maxMessageBytes). Throws FrameError: the stream is then lost.
 */
export class FrameReader {
  readonly #maxMessageBytes: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerFilled = 0;
  #current: FrameHeader | undefined;
  #payload: Buffer | undefined;
  #payloadFilled = 0;

  constructor(maxMessageBytes = MAX_MESSAGE_BYTES) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** `onFrame` answers false to stop (the connection was closed meanwhile): the rest is dropped. */
  push(piece: Buffer, onFrame: (header: FrameHeader, payload: Buffer) => boolean): void {
    let at = 0;
    while (true) {
      if (!this.#current) {
        if (this.#headerFilled === 0 && piece.length - at >= HEADER_BYTES) {
          this.#current = decodeHeader(piece, this.#maxMessageBytes, at);
          at += HEADER_BYTES;
        } else {
          const n = Math.min(HEADER_BYTES - this.#headerFilled, piece.length - at);
          piece.copy(this.#header, this.#headerFilled, at, at + n);
          this.#headerFilled += n;
          at += n;
          if (this.#headerFilled < HEADER_BYTES) return;
          this.#headerFilled = 0;
          this.#current = decodeHeader(this.#header, this.#maxMessageBytes);
        }
      }
      const header = this.#current;
      let payload: Buffer;
      if (!this.#payload && piece.length - at >= header.length) {
        payload = piece.subarray(at, at + header.length);
        at += header.length;
      } else {
        this.#payload ??= Buffer.allocUnsafe(header.length);
        const n = Math.min(header.length - this.#payloadFilled, piece.length - at);
        piece.copy(this.#payload, this.#payloadFilled, at, at + n);
        this.#payloadFilled += n;
        at += n;
        if (this.#payloadFilled < header.length) return;
        payload = this.#payload;
        this.#payload = undefined;
        this.#payloadFilled = 0;
      }
      this.#current = undefined;
      if (!onFrame(header, payload)) return;
    }
  }
}
