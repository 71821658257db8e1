// What a client sends, as bytes: parsed. Pure. The answers are built in `replies.ts`.
//
// handshake: client flags -> options ... -> (EXPORT_NAME or GO) -> transmission: requests. Nothing a client sends can
// make the parser keep more than one option (limited) or one write payload (limited): a longer payload is counted and
// thrown away, so that the request after it is still understood and the client gets an answer.
import { BLOCK_SIZE, COMMAND, MAGIC_OPTION, MAGIC_REQUEST, NAME_MAX_BYTES } from './protocol.ts';

/** An option carries a name of at most 4096 bytes and a few numbers. */
export const OPTION_MAX_BYTES = 16 * 1024;
const REQUEST_BYTES = 28;
const OPTION_HEADER_BYTES = 16;

export interface NbdRequest {
  flags: number;
  command: number;
  /** 8 bytes that the answer must carry. */
  cookie: bigint;
  /** Beyond 2^53 the value is not exact, and is outside of any disk. */
  offset: number;
  length: number;
  /** The payload of a write; undefined when it was longer than BLOCK_SIZE.maximum and thrown away. */
  data: Buffer | undefined;
}

export type ClientItem =
  | { kind: 'clientFlags'; flags: number }
  | { kind: 'option'; option: number; data: Buffer; tooBig: boolean }
  | { kind: 'request'; request: NbdRequest }
  | { kind: 'garbage'; message: string };

/** Bytes from the client in any portions -> items. After `garbage` nothing more is understood: close. */
export class ClientParser {
  #phase: 'flags' | 'options' | 'transmission' | 'garbage' = 'flags';
  #kept: Buffer = Buffer.alloc(0);
  /** A payload being collected (`buffer`) or thrown away (no buffer). */
  #payload: { request: NbdRequest; buffer: Buffer | undefined; have: number } | undefined;
  #skipOption: { option: number; left: number } | undefined;

  /** The option EXPORT_NAME or GO was accepted: requests follow. To be called while that option's item is handled. */
  startTransmission(): void {
    this.#phase = 'transmission';
  }

  *push(chunk: Buffer): Generator<ClientItem> {
    let bytes = this.#kept.length > 0 ? Buffer.concat([this.#kept, chunk]) : chunk;
    this.#kept = Buffer.alloc(0);
    while (bytes.length > 0) {
      const payload = this.#payload;
      if (payload) {
        const n = Math.min(bytes.length, payload.request.length - payload.have);
        if (payload.buffer) bytes.copy(payload.buffer, payload.have, 0, n);
        payload.have += n;
        bytes = bytes.subarray(n);
        if (payload.have === payload.request.length) {
          this.#payload = undefined;
          payload.request.data = payload.buffer;
          yield { kind: 'request', request: payload.request };
        }
        continue;
      }
      const skip = this.#skipOption;
      if (skip) {
        const n = Math.min(bytes.length, skip.left);
        skip.left -= n;
        bytes = bytes.subarray(n);
        if (skip.left === 0) {
          this.#skipOption = undefined;
          yield { kind: 'option', option: skip.option, data: Buffer.alloc(0), tooBig: true };
        }
        continue;
      }
      const step = this.#next(bytes);
      if (!step) break;
      bytes = bytes.subarray(step.used);
      if (step.item) {
        if (step.item.kind === 'garbage') this.#phase = 'garbage';
        yield step.item;
      }
      if (this.#phase === 'garbage') return;
    }
    this.#kept = bytes;
  }

  /** One header (and what is whole behind it) from the start of `bytes`; undefined: more bytes are needed. */
  #next(bytes: Buffer): { used: number; item?: ClientItem } | undefined {
    switch (this.#phase) {
      case 'flags':
        if (bytes.length < 4) return undefined;
        this.#phase = 'options';
        return { used: 4, item: { kind: 'clientFlags', flags: bytes.readUInt32BE(0) } };
      case 'options': {
        if (bytes.length < OPTION_HEADER_BYTES) return undefined;
        if (bytes.readBigUInt64BE(0) !== MAGIC_OPTION) return garbage('an option without its magic number');
        const option = bytes.readUInt32BE(8);
        const length = bytes.readUInt32BE(12);
        if (length > OPTION_MAX_BYTES) {
          this.#skipOption = { option, left: length };
          return { used: OPTION_HEADER_BYTES };
        }
        const end = OPTION_HEADER_BYTES + length;
        if (bytes.length < end) return undefined;
        return { used: end, item: { kind: 'option', option, data: bytes.subarray(OPTION_HEADER_BYTES, end), tooBig: false } };
      }
      case 'transmission': {
        if (bytes.length < REQUEST_BYTES) return undefined;
        if (bytes.readUInt32BE(0) !== MAGIC_REQUEST) return garbage('a request without its magic number');
        const request: NbdRequest = {
          flags: bytes.readUInt16BE(4),
          command: bytes.readUInt16BE(6),
          cookie: bytes.readBigUInt64BE(8),
          offset: bytes.readUInt32BE(16) * 2 ** 32 + bytes.readUInt32BE(20),
          length: bytes.readUInt32BE(24),
          data: undefined,
        };
        if (request.command !== COMMAND.write || request.length === 0) return { used: REQUEST_BYTES, item: { kind: 'request', request } };
        const end = REQUEST_BYTES + request.length;
        if (bytes.length >= end && request.length <= BLOCK_SIZE.maximum) {
          request.data = bytes.subarray(REQUEST_BYTES, end);
          return { used: end, item: { kind: 'request', request } };
        }
        const buffer = request.length <= BLOCK_SIZE.maximum ? Buffer.allocUnsafeSlow(request.length) : undefined;
        this.#payload = { request, buffer, have: 0 };
        return { used: REQUEST_BYTES };
      }
      case 'garbage':
        return undefined;
    }
  }
}

function garbage(message: string): { used: number; item: ClientItem } {
  return { used: 0, item: { kind: 'garbage', message } };
}

/** INFO and GO: be32 length, the name, be16 count, count x be16 kind of information. Undefined: malformed. */
export function parseGo(data: Buffer): { name: string; wanted: number[] } | undefined {
  if (data.length < 6) return undefined;
  const nameLength = data.readUInt32BE(0);
  if (nameLength > NAME_MAX_BYTES || nameLength > data.length - 6) return undefined;
  const count = data.readUInt16BE(4 + nameLength);
  if (data.length !== 6 + nameLength + 2 * count) return undefined;
  const wanted: number[] = [];
  for (let i = 0; i < count; i++) wanted.push(data.readUInt16BE(6 + nameLength + 2 * i));
  return { name: data.toString('utf8', 4, 4 + nameLength), wanted };
}

/** SET_META_CONTEXT and LIST_META_CONTEXT: be32 length, the export's name, be32 count, count x (be32 length, query). */
export function parseMetaContext(data: Buffer): { name: string; queries: string[] } | undefined {
  let at = 0;
  const number = (): number | undefined => {
    if (data.length - at < 4) return undefined;
    at += 4;
    return data.readUInt32BE(at - 4);
  };
  const text = (): string | undefined => {
    const length = number();
    if (length === undefined || length > NAME_MAX_BYTES || length > data.length - at) return undefined;
    at += length;
    return data.toString('utf8', at - length, at);
  };
  const name = text();
  const count = number();
  if (name === undefined || count === undefined) return undefined;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const query = text();
    if (query === undefined) return undefined;
    queries.push(query);
  }
  return at === data.length ? { name, queries } : undefined;
}
