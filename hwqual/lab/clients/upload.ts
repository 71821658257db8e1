// Uploads on one connection, one body after the other; the guest answers the SHA-256 of what it got. Progress is what the
// guest says it has taken (102 Processing), not what the kernel's send buffer swallowed: that would hide a stall.
import { createHash, type Hash } from 'node:crypto';
import { contentBytes } from './content.ts';
import { HttpResponseReader } from './http-response.ts';
import type { Tally } from './tally.ts';
import { nowMs, TcpClient } from './tcp-client.ts';

const TICK_MS = 20;
/** The guest reports each time it has taken this much. */
const PROGRESS_BYTES = 8192;
/** Sent and not yet taken by the guest, at most. */
const WINDOW_BYTES = 256 * 1024;
/** Bodies start at different places of the content, so that each has its own hash. Multiple of 4. */
const NEXT_BODY_BYTES = 104_729 * 4;
const CONTENT_BYTES = 2 ** 34;

export class UploadClient extends TcpClient {
  readonly #bytes: number;
  readonly #tickBytes: number;
  readonly #chunked: boolean;
  #reader = new HttpResponseReader();
  #hash: Hash = createHash('sha256');
  #base = 0;
  #sent = 0;
  #taken = 0;
  #answer = '';
  #startedMs = 0;

  constructor(tally: Tally, host: string, options: { bytes: number; rateBytesPerS: number; chunked: boolean }) {
    super(tally, host, 80);
    this.#bytes = options.bytes;
    this.#tickBytes = Math.max(1, Math.round((options.rateBytesPerS * TICK_MS) / 1000));
    this.#chunked = options.chunked;
  }

  protected override describe(): string {
    return `upload: ${this.#sent} of ${this.#bytes} bytes sent, ${this.#taken} taken`;
  }

  protected override connected(): void {
    this.#reader = new HttpResponseReader();
    this.#begin();
  }

  #begin(): void {
    this.#base = (this.#base + NEXT_BODY_BYTES) % (CONTENT_BYTES / 2);
    this.#hash = createHash('sha256');
    this.#sent = this.#taken = 0;
    this.#answer = '';
    this.#startedMs = nowMs();
    const body = this.#chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${this.#bytes}`;
    this.socket.write(`PUT /sink?progress=${PROGRESS_BYTES} HTTP/1.1\r\nHost: guest\r\n${body}\r\n\r\n`);
    this.#tick();
  }

  /** Whether the guest owes a report or the answer: what is less than one report's worth comes with the next piece. */
  #isOwed(): boolean {
    return this.#sent - this.#taken >= PROGRESS_BYTES || this.#sent === this.#bytes;
  }

  #tick(): void {
    const length = Math.min(this.#tickBytes, this.#bytes - this.#sent, WINDOW_BYTES - (this.#sent - this.#taken));
    if (length > 0) {
      const piece = contentBytes(this.#base + this.#sent, length);
      this.#hash.update(piece);
      this.#sent += length;
      this.tally.moved(length);
      if (this.#chunked) this.socket.write(`${length.toString(16)}\r\n`);
      this.socket.write(piece);
      if (this.#chunked) this.socket.write(this.#sent === this.#bytes ? '\r\n0\r\n\r\n' : '\r\n');
      if (this.#isOwed()) this.tally.meter.expect(nowMs());
    }
    if (this.#sent < this.#bytes) this.later(TICK_MS, () => this.#tick());
  }

  protected override received(piece: Buffer): void {
    try {
      for (const event of this.#reader.push(piece)) {
        if (event.kind === 'head' && event.status === 102) this.#took(Number(event.headers.get('x-received')));
        else if (event.kind === 'head' && event.status !== 200) {
          this.fail(`answer ${event.status}`);
          return;
        } else if (event.kind === 'body') this.#answer += event.piece.toString('latin1');
        else if (event.kind === 'end') {
          if (!this.#finished()) return;
        }
      }
    } catch (error) {
      this.mismatch(error instanceof Error ? error.message : String(error));
    }
  }

  #took(bytes: number): void {
    this.#taken = bytes;
    const now = nowMs();
    if (this.#isOwed()) this.tally.meter.progress(now);
    else this.tally.meter.rest(now);
  }

  /** False: the connection was given up. */
  #finished(): boolean {
    if (this.#sent < this.#bytes) {
      this.fail('answered before the whole body was sent');
      return false;
    }
    const expected = this.#hash.digest('hex');
    if (this.#answer.trim() !== expected) {
      this.mismatch(`SHA-256 ${this.#answer.slice(0, 80)} instead of ${expected}`);
      return false;
    }
    this.tally.meter.rest(nowMs());
    this.tally.operation(nowMs() - this.#startedMs);
    this.#begin();
    return true;
  }
}
