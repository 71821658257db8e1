// UDP echo: one request at a time, sent again when no answer comes. UDP may lose: nothing here is ever hung or broken, the
// longest time without an answer is measured all the same. A wrong answer is wrong.
import dgram from 'node:dgram';
import { contentBytes } from './content.ts';
import type { Tally } from './tally.ts';
import { type Client, nowMs } from './tcp-client.ts';

const MESSAGE_BYTES = 64;
const RESEND_MS = 250;
const COUNT_BYTES = 4;

export class EchoUdpClient implements Client {
  readonly tally: Tally;
  readonly #host: string;
  readonly #everyMs: number;
  readonly #socket: dgram.Socket;
  #timer: NodeJS.Timeout | null = null;
  #count = 0;
  #waiting = false;
  #message = Buffer.alloc(0);
  #sentMs = 0;

  constructor(tally: Tally, host: string, options: { everyMs: number }) {
    this.tally = tally;
    this.#host = host;
    this.#everyMs = options.everyMs;
    this.#socket = dgram.createSocket(tally.family === 6 ? 'udp6' : 'udp4');
    this.#socket.on('message', (answer) => this.#received(answer));
    // No route while a server is away: as good as a lost datagram.
    this.#socket.on('error', () => {});
  }

  start(): void {
    this.#ask();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.tally.meter.abandon(nowMs());
    this.#socket.close();
  }

  check(): void {}

  #ask(): void {
    this.#count = (this.#count + 1) % 2 ** 32;
    const count = Buffer.alloc(COUNT_BYTES);
    count.writeUInt32BE(this.#count);
    this.#message = Buffer.concat([count, contentBytes(this.#count * MESSAGE_BYTES, MESSAGE_BYTES - COUNT_BYTES)]);
    this.#waiting = true;
    this.#sentMs = nowMs();
    this.tally.meter.expect(this.#sentMs);
    this.#send();
  }

  #send(): void {
    this.#socket.send(this.#message, 7, this.#host, () => {});
    this.#timer = setTimeout(() => {
      this.tally.resent++;
      this.#send();
    }, RESEND_MS);
  }

  #received(answer: Buffer): void {
    // The late answer of a request that was sent again is no news.
    if (!this.#waiting || (answer.length >= COUNT_BYTES && answer.readUInt32BE(0) < this.#count)) return;
    if (!answer.equals(this.#message)) {
      this.tally.countWrong(`UDP answer of ${answer.length} bytes to request ${this.#count} differs`);
      return;
    }
    const now = nowMs();
    this.#waiting = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.tally.moved(answer.length);
    this.tally.meter.rest(now);
    this.tally.operation(now - this.#sentMs);
    this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#everyMs - (now - this.#sentMs)));
  }
}
