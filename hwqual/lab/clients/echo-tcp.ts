// One TCP connection for ever; a request of 64 bytes every few milliseconds, each answered by the same bytes.
import { contentBytes } from './content.ts';
import type { Tally } from './tally.ts';
import { nowMs, TcpClient } from './tcp-client.ts';

const MESSAGE_BYTES = 64;
/** Positions of the content used in turn, so that an old answer is never taken for a new one. */
const MESSAGES = 2 ** 27;

export class EchoTcpClient extends TcpClient {
  readonly #everyMs: number;
  #count = 0;
  #message: Buffer = Buffer.alloc(0);
  #answer: Buffer = Buffer.alloc(0);
  #sentMs = 0;

  constructor(tally: Tally, host: string, options: { everyMs: number }) {
    super(tally, host, 7);
    this.#everyMs = options.everyMs;
  }

  protected override describe(): string {
    return `echo request ${this.#count}`;
  }

  protected override connected(): void {
    this.#ask();
  }

  #ask(): void {
    this.#message = contentBytes((this.#count++ % MESSAGES) * MESSAGE_BYTES, MESSAGE_BYTES);
    this.#answer = Buffer.alloc(0);
    this.#sentMs = nowMs();
    this.tally.meter.expect(this.#sentMs);
    this.socket.write(this.#message);
  }

  protected override received(piece: Buffer): void {
    const now = nowMs();
    this.tally.moved(piece.length);
    this.#answer = Buffer.concat([this.#answer, piece]);
    if (this.#answer.length < MESSAGE_BYTES) {
      this.tally.meter.progress(now);
      return;
    }
    if (!this.#answer.equals(this.#message)) {
      this.mismatch(`answer of ${this.#answer.length} bytes differs`);
      return;
    }
    this.tally.meter.rest(now);
    this.tally.operation(now - this.#sentMs);
    this.later(this.#everyMs - (now - this.#sentMs), () => this.#ask());
  }
}
