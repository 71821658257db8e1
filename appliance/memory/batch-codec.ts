// One batch of the engine's stream, as it goes over the link: sorted by kind, pages as differences, compressed. README.md has the bytes.
//
//   stream   head page head page ... head state     ->  pages | page numbers | gaps | the rest     ->  zstd
//
// Pages and heads apart compress better than mixed; page numbers go as steps, gaps tell where the pages were. A CRC of the stream's own
// bytes is made before and checked behind all of it: whatever goes wrong between (caches out of step, damage, a fault of ours) ends the
// session before a byte reaches the engine.
import { constants, crc32, zstdDecompressSync } from 'node:zlib';
import { PAGE_BYTES } from './codec.ts';
import type { PageCache } from './page-cache.ts';

/** Large enough for the compressor and few messages, small enough that compressing and sending overlap. */
export const BATCH_PAGES = 64;
/** Heads and device state in one batch. */
export const BATCH_REST_BYTES = 256 * 1024;
const TABLE_BYTES_PER_PAGE = 8;
const STATE_OFFSET_BYTES = 4;
const HEADER_BYTES = 20;

/** zstd level 1: 2 is slower than what it saves. */
export const COMPRESSION = { [constants.ZSTD_c_compressionLevel]: 1 } as const;

/** What arrived cannot be this session's next batch: protection ends. */
export class BatchError extends Error {
  override name = 'BatchError';
}

export interface SealedBatch {
  header: Buffer;
  /** To be compressed. */
  body: Buffer;
  /** Bytes of the engine's stream in it. */
  streamBytes: number;
}

/** Collects the stream in order; `seal` gives the batch and begins the next one. Pages become differences as they are completed. */
export class BatchWriter {
  readonly #cache: PageCache;
  #number = 0;
  #body = Buffer.allocUnsafeSlow(BATCH_PAGES * PAGE_BYTES);
  readonly #table = Buffer.allocUnsafeSlow(BATCH_PAGES * TABLE_BYTES_PER_PAGE);
  readonly #rest = Buffer.allocUnsafeSlow(BATCH_REST_BYTES);
  #pages = 0;
  #restBytes = 0;
  #gapFrom = 0;
  #lastPage = 0;
  #crc = 0;
  /** The device state in this batch: the last bytes of the rest. */
  #stateOffset = 0;
  #stateBytes = 0;

  constructor(cache: PageCache) {
    this.#cache = cache;
  }

  get streamBytes(): number {
    return this.#pages * PAGE_BYTES + this.#restBytes;
  }

  get full(): boolean {
    return this.#pages === BATCH_PAGES || this.#restBytes === BATCH_REST_BYTES;
  }

  /** A whole page, not when `full`. */
  page(number: number, content: Uint8Array): void {
    const target = this.#body.subarray(this.#pages * PAGE_BYTES, (this.#pages + 1) * PAGE_BYTES);
    target.set(content);
    this.#crc = crc32(content, this.#crc);
    this.#cache.difference(number, target);
    this.#table.writeUInt32BE((number - this.#lastPage) >>> 0, this.#pages * TABLE_BYTES_PER_PAGE);
    this.#table.writeUInt32BE(this.#restBytes - this.#gapFrom, this.#pages * TABLE_BYTES_PER_PAGE + 4);
    this.#gapFrom = this.#restBytes;
    this.#lastPage = number;
    this.#pages++;
  }

  /** Anything else; answers how many bytes found room. `stateOffset`: it is device state from that byte of it on; no page may follow. */
  rest(bytes: Uint8Array, stateOffset: number | undefined): number {
    const taken = Math.min(bytes.length, BATCH_REST_BYTES - this.#restBytes);
    const target = this.#rest.subarray(this.#restBytes, this.#restBytes + taken);
    target.set(bytes.subarray(0, taken));
    this.#crc = crc32(target, this.#crc);
    this.#restBytes += taken;
    if (stateOffset !== undefined) {
      if (this.#stateBytes === 0) this.#stateOffset = stateOffset;
      this.#stateBytes += taken;
      this.#cache.stateDifference(stateOffset, target);
    }
    return taken;
  }

  /** Undefined: nothing was collected. */
  seal(): SealedBatch | undefined {
    const streamBytes = this.streamBytes;
    if (streamBytes === 0) return undefined;
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt32BE(++this.#number, 0);
    header.writeUInt16BE(this.#pages, 4);
    header.writeUInt16BE(0, 6);
    header.writeUInt32BE(this.#restBytes, 8);
    header.writeUInt32BE(this.#stateBytes, 12);
    header.writeUInt32BE(this.#crc, 16);
    const state = Buffer.allocUnsafe(STATE_OFFSET_BYTES);
    state.writeUInt32BE(this.#stateOffset);
    const body = Buffer.concat([
      this.#body.subarray(0, this.#pages * PAGE_BYTES),
      this.#table.subarray(0, this.#pages * TABLE_BYTES_PER_PAGE),
      state,
      this.#rest.subarray(0, this.#restBytes),
    ]);
    this.#pages = 0;
    this.#restBytes = 0;
    this.#gapFrom = 0;
    this.#crc = 0;
    this.#stateOffset = 0;
    this.#stateBytes = 0;
    this.#lastPage = 0;
    return { header, body, streamBytes };
  }
}

/** The other end: batches in their order, each back to the engine's bytes. Nothing may be unpacked after a BatchError. */
export class BatchReader {
  readonly #cache: PageCache;
  #number = 0;

  constructor(cache: PageCache) {
    this.#cache = cache;
  }

  /** Throws BatchError naming what is wrong. */
  open(message: Buffer): Buffer {
    if (message.length < HEADER_BYTES) throw new BatchError(`memory stream: a batch of ${message.length} bytes`);
    const number = message.readUInt32BE(0);
    const pages = message.readUInt16BE(4);
    const restBytes = message.readUInt32BE(8);
    const stateBytes = message.readUInt32BE(12);
    this.#number = (this.#number + 1) >>> 0;
    const fail = (what: string): never => {
      throw new BatchError(`memory stream: batch ${number}: ${what}`);
    };
    if (number !== this.#number) fail(`batch ${this.#number} was expected`);
    if (message.readUInt16BE(6) !== 0) fail('a reserved field is set');
    if (pages > BATCH_PAGES || restBytes > BATCH_REST_BYTES || pages + restBytes === 0) fail(`${pages} pages and ${restBytes} other bytes`);
    if (stateBytes > restBytes) fail(`${stateBytes} bytes of device state in ${restBytes}`);
    const tableAt = pages * PAGE_BYTES;
    const restAt = tableAt + pages * TABLE_BYTES_PER_PAGE + STATE_OFFSET_BYTES;
    const body = this.#decompress(message.subarray(HEADER_BYTES), restAt + restBytes, fail);
    const rest = body.subarray(restAt);
    if (stateBytes > 0) this.#cache.stateRestore(body.readUInt32BE(restAt - STATE_OFFSET_BYTES), rest.subarray(restBytes - stateBytes));
    const stream = Buffer.allocUnsafe(tableAt + restBytes);
    let [at, restUsed, page] = [0, 0, 0];
    for (let i = 0; i < pages; i++) {
      const entry = tableAt + i * TABLE_BYTES_PER_PAGE;
      const gap = body.readUInt32BE(entry + 4);
      if (gap > restBytes - restUsed) fail(`a gap of ${gap} bytes before page ${i + 1}, ${restBytes - restUsed} are left`);
      stream.set(rest.subarray(restUsed, restUsed + gap), at);
      restUsed += gap;
      at += gap;
      page = (page + body.readUInt32BE(entry)) >>> 0;
      const content = body.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES);
      this.#cache.restore(page, content);
      stream.set(content, at);
      at += PAGE_BYTES;
    }
    stream.set(rest.subarray(restUsed), at);
    if (crc32(stream) !== message.readUInt32BE(16)) fail('its checksum is wrong: the two sides are out of step, or it was damaged');
    return stream;
  }

  #decompress(packed: Buffer, bytes: number, fail: (what: string) => never): Buffer {
    let body: Buffer;
    try {
      body = zstdDecompressSync(packed, { maxOutputLength: bytes, chunkSize: bytes + 64 });
    } catch (error) {
      return fail(`it cannot be unpacked: ${(error as Error).message}`);
    }
    if (body.length !== bytes) return fail(`it has ${body.length} instead of ${bytes} bytes`);
    return body;
  }
}
