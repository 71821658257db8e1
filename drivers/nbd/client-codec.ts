// The client's half of the protocol as bytes: requests and options are built, a server's chunks are understood. Pure.
import { BASE_ALLOCATION_ID, CHUNK, CHUNK_IS_ERROR, INFO, MAGIC_OPTION, MAGIC_REQUEST, STATE } from './protocol.ts';
import type { NbdExtent } from './types.ts';

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

export function encodeOption(option: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const b = Buffer.alloc(16);
  b.writeBigUInt64BE(MAGIC_OPTION, 0);
  b.writeUInt32BE(option, 8);
  b.writeUInt32BE(data.length, 12);
  return Buffer.concat([b, data]);
}

/** The data of INFO and GO. */
export function encodeGo(name: string, wanted: readonly number[] = [INFO.blockSize]): Buffer {
  const numbers = Buffer.alloc(2 + 2 * wanted.length);
  numbers.writeUInt16BE(wanted.length, 0);
  wanted.forEach((kind, i) => {
    numbers.writeUInt16BE(kind, 2 + 2 * i);
  });
  return Buffer.concat([text(name), numbers]);
}

/** The data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function encodeMetaContextQuery(name: string, queries: readonly string[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length, 0);
  return Buffer.concat([text(name), count, ...queries.map(text)]);
}

export type Chunk =
  | { kind: 'none' }
  | { kind: 'data'; offset: number; data: Buffer }
  | { kind: 'hole'; offset: number; length: number }
  | { kind: 'blockStatus'; extents: NbdExtent[] }
  | { kind: 'error'; error: number; message: string; offset: number | undefined };

/** What follows a chunk's header. Undefined: malformed, or nothing that we asked for. */
export function decodeChunk(kind: number, body: Buffer): Chunk | undefined {
  if ((kind & CHUNK_IS_ERROR) !== 0) return decodeError(kind, body);
  switch (kind) {
    case CHUNK.none:
      return body.length === 0 ? { kind: 'none' } : undefined;
    case CHUNK.offsetData:
      return body.length > 8 ? { kind: 'data', offset: Number(body.readBigUInt64BE(0)), data: body.subarray(8) } : undefined;
    case CHUNK.offsetHole:
      return body.length === 12 ? { kind: 'hole', offset: Number(body.readBigUInt64BE(0)), length: body.readUInt32BE(8) } : undefined;
    case CHUNK.blockStatus:
      return decodeBlockStatus(body);
    default:
      return undefined;
  }
}

function decodeError(kind: number, body: Buffer): Chunk | undefined {
  if (body.length < 6) return undefined;
  const end = 6 + body.readUInt16BE(4);
  const where = kind === CHUNK.errorOffset ? 8 : 0;
  if (body.length !== end + where) return undefined;
  return {
    kind: 'error',
    error: body.readUInt32BE(0),
    message: body.toString('utf8', 6, end),
    offset: where ? Number(body.readBigUInt64BE(end)) : undefined,
  };
}

function decodeBlockStatus(body: Buffer): Chunk | undefined {
  if (body.length < 12 || (body.length - 4) % 8 !== 0 || body.readUInt32BE(0) !== BASE_ALLOCATION_ID) return undefined;
  const extents: NbdExtent[] = [];
  for (let at = 4; at < body.length; at += 8) {
    const lengthBytes = body.readUInt32BE(at);
    const state = body.readUInt32BE(at + 4);
    if (lengthBytes === 0) return undefined;
    extents.push({ lengthBytes, hole: (state & STATE.hole) !== 0, zero: (state & STATE.zero) !== 0 });
  }
  return { kind: 'blockStatus', extents };
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}
