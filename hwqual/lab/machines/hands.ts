// The lab's hands in a whole machine: a root shell on its third serial port. One command at a time; real servers have no such thing, so
// campaigns use it for what a person would look up there, and for nothing that must work on real ones.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { LabError } from '../lab-error.ts';

/** A serial port under emulation: some ten KB/s. */
const MAX_OUTPUT_CHARS = 1 << 20;

export interface HandsAnswer {
  status: number;
  output: string;
}

export class Hands {
  readonly #name: string;
  readonly #path: string;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(name: string, path: string) {
    this.#name = name;
    this.#path = path;
  }

  /** One shell command there; its output and error output together. Throws a LabError when no answer came in time. */
  ask(command: string, timeoutMs: number): Promise<HandsAnswer> {
    const answer = this.#turn.then(() => this.#ask(command, timeoutMs));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #ask(command: string, timeoutMs: number): Promise<HandsAnswer> {
    const mark = randomBytes(8).toString('hex');
    const socket = connect(this.#path);
    try {
      return await new Promise<HandsAnswer>((resolve, reject) => {
        let text = '';
        const late = () => reject(new LabError(`machine ${this.#name} did not answer within ${timeoutMs / 1000} s: ${command}`));
        const timer = setTimeout(late, timeoutMs);
        socket.once('close', () => clearTimeout(timer));
        socket.once('error', (e) => reject(new LabError(`machine ${this.#name} has no power: ${e.message}`, 'power on it')));
        // The words of the marks are put together there, so that an echo of the line is no answer.
        socket.once('connect', () =>
          socket.write(`\n{ echo "<"${mark}; ( ${command}\n) </dev/null 2>&1; s=$?; echo; echo ">"${mark} $s; } 2>&1\n`),
        );
        socket.setEncoding('utf8').on('data', (chunk: string) => {
          text = (text + chunk).slice(-MAX_OUTPUT_CHARS);
          const end = new RegExp(`\\n>${mark} (\\d+)\\r?\\n`).exec(text);
          if (end === null) return;
          const from = text.indexOf(`<${mark}`);
          const output = text.slice(from < 0 ? 0 : from + mark.length + 1, end.index);
          resolve({ status: Number(end[1]), output: output.replaceAll('\r', '').trim() });
        });
      });
    } finally {
      await hangUp(socket);
    }
  }
}

async function hangUp(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.destroy();
  await closed;
}
