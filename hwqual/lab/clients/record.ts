// Appends numbered records on one connection, one at a time, and keeps every number that the guest acknowledged: those must
// be on the disk for ever. `readRecords` asks the guest for all of them.
import net from 'node:net';
import type { Tally } from './tally.ts';
import { nowMs, TcpClient } from './tcp-client.ts';

const RECORD_PORT = 9009;

/** Numbers for all record clients of one process, and what became of them. */
export class RecordBook {
  readonly first: number;
  #next: number;
  readonly acknowledged: number[] = [];

  /** Runs on the same disk get different numbers: seconds of the clock, times ten million. */
  constructor(wallClockMs: number) {
    this.first = (Math.floor(wallClockMs / 1000) % 100_000_000) * 10_000_000;
    this.#next = this.first;
  }

  take(): number {
    return this.#next++;
  }

  /** True for every number given out so far. */
  has(number: number): boolean {
    return number >= this.first && number < this.#next;
  }
}

export class RecordClient extends TcpClient {
  readonly #everyMs: number;
  readonly #book: RecordBook;
  #number = 0;
  #answer = '';
  #sentMs = 0;

  constructor(tally: Tally, host: string, options: { everyMs: number }, book: RecordBook) {
    super(tally, host, RECORD_PORT);
    this.#everyMs = options.everyMs;
    this.#book = book;
  }

  protected override describe(): string {
    return `append ${this.#number}`;
  }

  protected override connected(): void {
    this.#append();
  }

  #append(): void {
    this.#number = this.#book.take();
    this.#answer = '';
    this.#sentMs = nowMs();
    this.tally.meter.expect(this.#sentMs);
    this.socket.write(`append ${this.#number}\n`);
  }

  protected override received(piece: Buffer): void {
    const now = nowMs();
    this.tally.moved(piece.length);
    this.#answer += piece.toString('latin1');
    if (!this.#answer.endsWith('\n')) {
      this.tally.meter.progress(now);
      return;
    }
    if (this.#answer.startsWith('error ')) {
      this.fail(`the guest answered "${this.#answer.trim()}"`);
      return;
    }
    if (this.#answer !== `ok ${this.#number}\n`) {
      this.mismatch(`answer ${JSON.stringify(this.#answer.slice(0, 80))}`);
      return;
    }
    this.#book.acknowledged.push(this.#number);
    this.tally.meter.rest(now);
    this.tally.operation(now - this.#sentMs);
    this.later(this.#everyMs - (now - this.#sentMs), () => this.#append());
  }
}

/** The numbers of a complete `list` answer. Throws on anything else. */
export function parseList(text: string): number[] {
  const lines = text.split('\n');
  const head = /^records (\d+)$/.exec(lines[0] ?? '');
  const problem = lines.find((line) => line.startsWith('error '));
  if (head === null || problem !== undefined) throw new Error(`the guest cannot list its records: ${problem ?? lines[0] ?? ''}`);
  const count = Number(head[1]);
  if (lines[count + 1] !== 'end' || lines.length !== count + 3) throw new Error(`list of ${count} records is incomplete`);
  return lines.slice(1, count + 1).map((line) => {
    if (!/^\d+$/.test(line)) throw new Error(`list holds ${JSON.stringify(line)} instead of a number`);
    return Number(line);
  });
}

/** Asks the guest for its records on a connection of its own. */
export function readRecords(host: string, timeoutMs: number): Promise<number[]> {
  return new Promise((answer, fail) => {
    const pieces: string[] = [];
    const socket = net.connect({ host, port: RECORD_PORT, noDelay: true }, () => socket.write('list\n'));
    const timer = setTimeout(() => socket.destroy(new Error(`no complete list of records within ${timeoutMs} ms`)), timeoutMs);
    const settle = (then: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      then();
    };
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece.toString('latin1'));
      const tail = (pieces.at(-2) ?? '').slice(-5) + (pieces.at(-1) ?? '');
      // "error" comes instead of numbers and ends the answer as well.
      if (!tail.endsWith('\nend\n') && !/(^|\n)error [^\n]*\n$/.test(tail)) return;
      settle(() => {
        try {
          answer(parseList(pieces.join('')));
        } catch (error) {
          fail(error);
        }
      });
    });
    socket.on('end', () => settle(() => fail(new Error('the guest closed the connection before the list was complete'))));
    socket.on('error', (error) => settle(() => fail(error)));
  });
}
