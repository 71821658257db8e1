// Short connections: a new one for each request, closed by the server after its answer.
import { ContentChecker } from './content.ts';
import { HttpResponseReader } from './http-response.ts';
import type { Tally } from './tally.ts';
import { nowMs, TcpClient } from './tcp-client.ts';

export class ShortClient extends TcpClient {
  readonly #everyMs: number;
  readonly #bytes: number;
  #reader = new HttpResponseReader();
  #checker = new ContentChecker();
  #complete = false;
  #startedMs = 0;

  constructor(tally: Tally, host: string, options: { everyMs: number; bytes: number }) {
    super(tally, host, 80);
    this.#everyMs = options.everyMs;
    this.#bytes = options.bytes;
  }

  override age(): null {
    return null;
  }

  protected override describe(): string {
    return `short connection ${this.#complete ? 'after' : 'before'} its answer`;
  }

  protected override open(): void {
    this.#reader = new HttpResponseReader();
    this.#checker = new ContentChecker();
    this.#complete = false;
    this.#startedMs = nowMs();
    super.open();
  }

  protected override connected(): void {
    this.tally.meter.expect(nowMs());
    this.socket.write(`GET /file/${this.#bytes} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n`);
  }

  protected override received(piece: Buffer): void {
    this.tally.meter.progress(nowMs());
    this.tally.moved(piece.length);
    try {
      for (const event of this.#reader.push(piece)) {
        if (event.kind === 'head' && (event.status !== 200 || event.length !== this.#bytes)) {
          this.mismatch(`answer ${event.status}`);
          return;
        }
        if (event.kind === 'body' && this.#checker.push(event.piece) >= 0) {
          this.mismatch('wrong content');
          return;
        }
        if (event.kind === 'end') this.#complete = true;
      }
    } catch (error) {
      this.mismatch(error instanceof Error ? error.message : String(error));
    }
  }

  protected override ended(): void {
    if (!this.#complete) {
      this.fail('closed before the answer was complete');
      return;
    }
    const now = nowMs();
    this.tally.meter.rest(now);
    this.tally.operation(now - this.#startedMs);
    this.later(this.#everyMs - (now - this.#startedMs), () => this.open());
  }
}
