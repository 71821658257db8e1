// What the server answers, as bytes. Pure.
//
// A structured reply is a run of chunks, the last of them marked: be32 magic, be16 flags, be16 kind, cookie, be32 length of what
// follows. A read's chunks are pieces of data and holes (zeroes that are only counted), and an error if it failed.
import {
  BASE_ALLOCATION,
  BASE_ALLOCATION_ID,
  BLOCK_SIZE,
  CHUNK,
  CHUNK_FLAG_DONE,
  INFO,
  MAGIC_OPTION,
  MAGIC_OPTION_REPLY,
  MAGIC_SERVER,
  MAGIC_SIMPLE_REPLY,
  MAGIC_STRUCTURED_REPLY,
  STATE,
} from './protocol.ts';
import type { NbdExtent } from './types.ts';

/** A run of zeroes inside of a read is left out only from this size on: each piece costs its reader a chunk. */
export const HOLE_STEP_BYTES = 64 * 1024;
/** Of one answer of BLOCK_STATUS, 64 KiB: the client asks again from where it ends. */
export const EXTENTS_MAX = 8192;
/** An extent's length has 32 bits, and stays a multiple of every block size. */
const EXTENT_MAX_BYTES = 2 ** 31;
const ERROR_TEXT_BYTES = 1024;
const ZEROES = Buffer.alloc(HOLE_STEP_BYTES);

export function encodeGreeting(handshakeFlags: number): Buffer {
  const b = Buffer.alloc(18);
  b.writeBigUInt64BE(MAGIC_SERVER, 0);
  b.writeBigUInt64BE(MAGIC_OPTION, 8);
  b.writeUInt16BE(handshakeFlags, 16);
  return b;
}

export function encodeOptionReply(option: number, reply: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const b = Buffer.alloc(20);
  b.writeBigUInt64BE(MAGIC_OPTION_REPLY, 0);
  b.writeUInt32BE(option, 8);
  b.writeUInt32BE(reply, 12);
  b.writeUInt32BE(data.length, 16);
  return Buffer.concat([b, data]);
}

/** Answer of EXPORT_NAME: size, flags and, unless the client waived them, 124 zero bytes. */
export function encodeExportName(sizeBytes: number, flags: number, noZeroes: boolean): Buffer {
  const b = Buffer.alloc(noZeroes ? 10 : 134);
  b.writeBigUInt64BE(BigInt(sizeBytes), 0);
  b.writeUInt16BE(flags, 8);
  return b;
}

export function encodeInfoExport(sizeBytes: number, flags: number): Buffer {
  const b = Buffer.alloc(12);
  b.writeUInt16BE(INFO.export, 0);
  b.writeBigUInt64BE(BigInt(sizeBytes), 2);
  b.writeUInt16BE(flags, 10);
  return b;
}

export function encodeInfoText(kind: number, text: string): Buffer {
  const b = Buffer.concat([Buffer.alloc(2), Buffer.from(text)]);
  b.writeUInt16BE(kind, 0);
  return b;
}

export function encodeInfoBlockSize(): Buffer {
  const b = Buffer.alloc(14);
  b.writeUInt16BE(INFO.blockSize, 0);
  b.writeUInt32BE(BLOCK_SIZE.minimum, 2);
  b.writeUInt32BE(BLOCK_SIZE.preferred, 6);
  b.writeUInt32BE(BLOCK_SIZE.maximum, 10);
  return b;
}

/** LIST: be32 length of the name, the name. */
export function encodeServer(name: string): Buffer {
  const text = Buffer.from(name);
  const b = Buffer.alloc(4);
  b.writeUInt32BE(text.length, 0);
  return Buffer.concat([b, text]);
}

/** A read's payload follows it when `error` is 0. */
export function encodeSimpleReply(cookie: bigint, error: number): Buffer {
  const b = Buffer.allocUnsafe(16);
  b.writeUInt32BE(MAGIC_SIMPLE_REPLY, 0);
  b.writeUInt32BE(error, 4);
  b.writeBigUInt64BE(cookie, 8);
  return b;
}

/** LIST_META_CONTEXT (id 0) and SET_META_CONTEXT: be32 the context's number, its name. */
export function encodeMetaContext(id: number): Buffer {
  const b = Buffer.concat([Buffer.alloc(4), Buffer.from(BASE_ALLOCATION)]);
  b.writeUInt32BE(id, 0);
  return b;
}

export interface ReadPiece {
  /** In the data read. */
  start: number;
  end: number;
  /** All zeroes. */
  hole: boolean;
}

/** A read's data as pieces to send: holes are steps of zeroes, or all of it. */
export function piecesOfRead(data: Uint8Array): ReadPiece[] {
  const pieces: ReadPiece[] = [];
  for (let start = 0; start < data.length; start += HOLE_STEP_BYTES) {
    const end = Math.min(data.length, start + HOLE_STEP_BYTES);
    const whole = end - start === HOLE_STEP_BYTES || (start === 0 && end === data.length);
    const hole = (whole || pieces.at(-1)?.hole === true) && ZEROES.compare(data, start, end, 0, end - start) === 0;
    const last = pieces.at(-1);
    if (last && last.hole === hole) last.end = end;
    else pieces.push({ start, end, hole });
  }
  return pieces;
}

/** `length` bytes of payload follow. */
export function encodeDataChunk(cookie: bigint, offset: number, length: number, done = true): Buffer {
  const b = chunk(cookie, CHUNK.offsetData, done, 8, 8 + length);
  b.writeBigUInt64BE(BigInt(offset), 20);
  return b;
}

export function encodeHoleChunk(cookie: bigint, offset: number, length: number, done = true): Buffer {
  const b = chunk(cookie, CHUNK.offsetHole, done, 12);
  b.writeBigUInt64BE(BigInt(offset), 20);
  b.writeUInt32BE(length, 28);
  return b;
}

/** be32 the context's number, then be32 length and be32 state of each extent. */
export function encodeBlockStatusChunk(cookie: bigint, extents: readonly NbdExtent[]): Buffer {
  const b = chunk(cookie, CHUNK.blockStatus, true, 4 + 8 * extents.length);
  b.writeUInt32BE(BASE_ALLOCATION_ID, 20);
  let at = 24;
  for (const e of extents) {
    b.writeUInt32BE(e.lengthBytes, at);
    b.writeUInt32BE((e.hole ? STATE.hole : 0) | (e.zero ? STATE.zero : 0), at + 4);
    at += 8;
  }
  return b;
}

/** What an export says of `length` bytes, as one answer can carry it: equal neighbours joined, not beyond `length`, at most EXTENTS_MAX. */
export function extentsToSend(extents: readonly NbdExtent[], length: number, onlyOne: boolean): NbdExtent[] {
  const list: NbdExtent[] = [];
  let covered = 0;
  for (const e of extents) {
    let left = Math.min(e.lengthBytes, length - covered);
    covered += Math.max(left, 0);
    while (left > 0) {
      const last = list.at(-1);
      const joins = last?.hole === e.hole && last.zero === e.zero && last.lengthBytes < EXTENT_MAX_BYTES;
      if (!joins && list.length >= (onlyOne ? 1 : EXTENTS_MAX)) return list;
      const n = Math.min(left, EXTENT_MAX_BYTES - (joins ? last.lengthBytes : 0));
      if (joins) last.lengthBytes += n;
      else list.push({ lengthBytes: n, hole: e.hole, zero: e.zero });
      left -= n;
    }
  }
  return list;
}

/** be32 error, be16 length of the text, the text, and be64 where, if `offset` is known. */
export function encodeErrorChunk(cookie: bigint, error: number, message: string, offset?: number): Buffer {
  const text = Buffer.from(message).subarray(0, ERROR_TEXT_BYTES);
  const where = offset === undefined ? 0 : 8;
  const b = chunk(cookie, where ? CHUNK.errorOffset : CHUNK.error, true, 6 + text.length + where);
  b.writeUInt32BE(error, 20);
  b.writeUInt16BE(text.length, 24);
  text.copy(b, 26);
  if (offset !== undefined) b.writeBigUInt64BE(BigInt(offset), 26 + text.length);
  return b;
}

/** A chunk with room for its first `bytes`. */
function chunk(cookie: bigint, kind: number, done: boolean, bytes: number, length = bytes): Buffer {
  const b = Buffer.allocUnsafe(20 + bytes);
  b.writeUInt32BE(MAGIC_STRUCTURED_REPLY, 0);
  b.writeUInt16BE(done ? CHUNK_FLAG_DONE : 0, 4);
  b.writeUInt16BE(kind, 6);
  b.writeBigUInt64BE(cookie, 8);
  b.writeUInt32BE(length, 16);
  return b;
}
