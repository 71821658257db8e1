// Asks the tiny guest over UDP: one question at a time, asked again until it is answered. From any place with a way to its address.
import dgram from 'node:dgram';

const PORT = 9;
const ASK_AGAIN_MS = 300;

export interface TinyStatus {
  /** Of this disk, this one included: a restart counts, a takeover of level 3 does not. */
  starts: number;
  records: number;
  last: number;
  /** Since its start, by its own clock. */
  upMs: number;
}

export class TinyClient {
  readonly #address: string;
  readonly #port: number;

  constructor(address = '10.77.0.10', port = PORT) {
    this.#address = address;
    this.#port = port;
  }

  /** Throws when there is no answer in time, or none that it should give. */
  async status(withinMs: number): Promise<TinyStatus> {
    const answer = await this.#ask('status', (text) => text.startsWith('starts '), withinMs);
    const numbers = /^starts (\d+) records (\d+) last (\d+) up (\d+)$/.exec(answer)?.slice(1).map(Number);
    const [starts, records, last, upMs] = numbers ?? [];
    if (starts === undefined || records === undefined || last === undefined || upMs === undefined) throw this.#strange('status', answer);
    return { starts, records, last, upMs };
  }

  /** On the guest's disk, on both copies of it, when this resolves. Not the number of the record before: that is answered, not written. */
  async append(number: number, withinMs: number): Promise<void> {
    // Words that belong to an earlier question may come late.
    const answer = await this.#ask(`append ${number}`, (text) => text === `ok ${number}` || text.startsWith('error'), withinMs);
    if (answer.startsWith('error')) throw this.#strange(`append ${number}`, answer);
  }

  #strange(question: string, answer: string): Error {
    return new Error(`the guest at ${this.#address} answers "${answer}" to "${question}"`);
  }

  #ask(question: string, isAnswer: (text: string) => boolean, withinMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = dgram.createSocket('udp4');
      const end = (settle: () => void) => {
        clearInterval(again);
        clearTimeout(late);
        socket.close();
        settle();
      };
      // No way there while a server is away: as good as a lost datagram.
      const send = () => socket.send(question, this.#port, this.#address, () => undefined);
      const again = setInterval(send, ASK_AGAIN_MS);
      const late = setTimeout(
        () => end(() => reject(new Error(`the guest at ${this.#address} does not answer "${question}" within ${withinMs} ms`))),
        withinMs,
      );
      socket.on('error', () => undefined);
      socket.on('message', (bytes) => {
        const text = bytes.toString('latin1');
        if (isAnswer(text)) end(() => resolve(text));
      });
      send();
    });
  }
}
