// The engine's return path, secondary to primary, parsed as strictly as the forward direction (codec.ts).
//
//   framed messages PONG, SHUT -> READY -> per checkpoint: REPLY, RECEIVED, LOADED
//
// All integers big endian. Source: QEMU 11.1: migration/migration.c (return path), qapi/migration.json COLOMessage.
import { StreamError } from './stream-error.ts';

/** COLOMessage, by its number on the wire. */
const READY = 0;
const REPLY = 2;
const RECEIVED = 5;
const LOADED = 6;

export type ReturnMessage = 'preamble' | 'ready' | 'reply' | 'received' | 'loaded';

const PONG = 2;
const SHUT = 1;

/** Secondary to primary. */
export class ReturnParser {
  readonly #sink: (message: ReturnMessage, bytes: Buffer) => void;
  #carry: Buffer | undefined;
  #base = 0;
  #expected: Exclude<ReturnMessage, 'preamble'> = 'ready';

  constructor(sink: (message: ReturnMessage, bytes: Buffer) => void) {
    this.#sink = sink;
  }

  /** Calls the sink once per whole message. Throws StreamError; must not be fed again then. */
  feed(chunk: Buffer): void {
    const b = this.#carry ? Buffer.concat([this.#carry, chunk]) : chunk;
    this.#carry = undefined;
    let at = 0;
    while (b.length - at >= 4) {
      const length = this.#expected === 'ready' ? this.#preambleOrReady(b, at) : this.#checkpointMessage(b, at);
      if (length === undefined) break;
      at += length;
    }
    if (at < b.length) this.#carry = Buffer.from(b.subarray(at));
    this.#base += at;
  }

  /** be16 type, be16 length, data; or READY, which reads as type 0, length 0. */
  #preambleOrReady(b: Buffer, at: number): number | undefined {
    if (b.readUInt32BE(at) === READY) {
      this.#expected = 'reply';
      this.#sink('ready', b.subarray(at, at + 4));
      return 4;
    }
    const type = b.readUInt16BE(at);
    const length = b.readUInt16BE(at + 2);
    if ((type !== PONG && type !== SHUT) || length !== 4)
      throw new StreamError(`unknown return message 0x${type.toString(16)}`, this.#base + at);
    if (b.length - at < 8) return undefined;
    const value = b.readUInt32BE(at + 4);
    if (type === SHUT && value !== 0) throw new StreamError(`the secondary's engine could not load the guest (${value})`, this.#base + at);
    this.#sink('preamble', b.subarray(at, at + 8));
    return 8;
  }

  #checkpointMessage(b: Buffer, at: number): number {
    const word = b.readUInt32BE(at);
    const expected = this.#expected;
    const bytes = b.subarray(at, at + 4);
    if (expected === 'reply' && word === REPLY) this.#expected = 'received';
    else if (expected === 'received' && word === RECEIVED) this.#expected = 'loaded';
    else if (expected === 'loaded' && word === LOADED) this.#expected = 'reply';
    else throw new StreamError(`unknown return message 0x${word.toString(16)} instead of '${expected}'`, this.#base + at);
    this.#sink(expected, bytes);
    return 4;
  }
}

/** What the primary's engine waits for: before it stops the guest, and after the last byte of a checkpoint. */
export const REPLY_BYTES: Uint8Array = Uint8Array.of(0, 0, 0, REPLY);
export const RECEIVED_BYTES: Uint8Array = Uint8Array.of(0, 0, 0, RECEIVED);
export const LOADED_BYTES: Uint8Array = Uint8Array.of(0, 0, 0, LOADED);
