// Downloads on one connection, one file after the other; every byte is verified. The server paces: see ../guest/README.md.
import { ContentChecker } from './content.ts';
import { HttpResponseReader } from './http-response.ts';
import type { Tally } from './tally.ts';
import { nowMs, TcpClient } from './tcp-client.ts';

export class DownloadClient extends TcpClient {
  readonly #bytes: number;
  readonly #rateBytesPerS: number;
  #reader = new HttpResponseReader();
  #checker = new ContentChecker();
  #startedMs = 0;

  constructor(tally: Tally, host: string, options: { bytes: number; rateBytesPerS: number }) {
    super(tally, host, 80);
    this.#bytes = options.bytes;
    this.#rateBytesPerS = options.rateBytesPerS;
  }

  protected override describe(): string {
    return `download at byte ${this.#checker.offset} of ${this.#bytes}`;
  }

  protected override connected(): void {
    this.#reader = new HttpResponseReader();
    this.#ask();
  }

  #ask(): void {
    this.#checker = new ContentChecker();
    this.#startedMs = nowMs();
    this.tally.meter.expect(this.#startedMs);
    this.socket.write(`GET /file/${this.#bytes}?rate=${this.#rateBytesPerS} HTTP/1.1\r\nHost: guest\r\n\r\n`);
  }

  protected override received(piece: Buffer): void {
    this.tally.meter.progress(nowMs());
    this.tally.moved(piece.length);
    try {
      for (const event of this.#reader.push(piece)) {
        if (event.kind === 'head') {
          if (event.status !== 200 || event.length !== this.#bytes) {
            this.mismatch(`answer ${event.status} of ${event.length} bytes`);
            return;
          }
        } else if (event.kind === 'body') {
          const wrong = this.#checker.push(event.piece);
          if (wrong >= 0) {
            this.mismatch(`wrong byte at ${wrong}`);
            return;
          }
        } else {
          this.tally.operation(nowMs() - this.#startedMs);
          this.#ask();
        }
      }
    } catch (error) {
      this.mismatch(error instanceof Error ? error.message : String(error));
    }
  }
}
