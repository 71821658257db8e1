// The stand-in's client: the same meaning over a Unix socket.
import { connect, type Socket } from 'node:net';
import { MAX_LINE_CHARS, parseAnswer, type StandInAnswer } from './codec.ts';
import type { Watchdog, WatchdogOptions } from './types.ts';

/** It is a process on the same machine that does nothing else. */
const ANSWER_WITHIN_MS = 2_000;

/** Resolves armed. Rejects when there is no stand-in, it is held by another connection, or does not answer. */
export async function openSocketWatchdog(path: string, { timeoutMs, onLost }: WatchdogOptions): Promise<Watchdog> {
  const watchdog = new SocketWatchdog(path, onLost);
  try {
    await watchdog.arm(timeoutMs);
  } catch (cause) {
    watchdog.close();
    throw new Error(`the watchdog at ${path}: ${(cause as Error).message}`, { cause });
  }
  return watchdog;
}

class SocketWatchdog implements Watchdog {
  readonly canStop = true;
  timeoutMs = 0;
  readonly #path: string;
  readonly #onLost: (error: Error) => void;
  readonly #socket: Socket;
  #waiting: { resolve: (a: StandInAnswer) => void; reject: (e: Error) => void } | null = null;
  #text = '';
  #given = false;

  constructor(path: string, onLost: (error: Error) => void) {
    this.#path = path;
    this.#onLost = onLost;
    this.#socket = connect(path);
    this.#socket.setEncoding('utf8');
    this.#socket.on('data', (chunk: string) => this.#receive(chunk));
    this.#socket.on('error', (e) => this.#lost(e));
    this.#socket.on('close', () => this.#lost(new Error('the connection ended')));
  }

  async arm(timeoutMs: number): Promise<void> {
    const answer = await this.#ask(`arm ${Math.ceil(timeoutMs)}\n`);
    if (answer.kind !== 'armed') throw new Error(answer.kind === 'refused' ? answer.reason : 'it did not arm');
    this.timeoutMs = answer.timeoutMs;
  }

  renew(): void {
    if (!this.#given) this.#socket.write('renew\n');
  }

  async disarm(): Promise<void> {
    const answer = await this.#ask('disarm\n');
    if (answer.kind !== 'disarmed') throw new Error(answer.kind === 'refused' ? answer.reason : 'it did not disarm');
    this.close();
  }

  close(): void {
    this.#given = true;
    this.#socket.destroy();
  }

  #ask(line: string): Promise<StandInAnswer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#waiting?.reject(new Error(`no answer within ${ANSWER_WITHIN_MS} ms`)), ANSWER_WITHIN_MS);
      const end = <T>(then: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          this.#waiting = null;
          then(value);
        };
      };
      this.#waiting = { resolve: end(resolve), reject: end(reject) };
      if (this.#socket.destroyed) this.#waiting.reject(new Error('the connection ended'));
      else this.#socket.write(line);
    });
  }

  #receive(chunk: string): void {
    this.#text += chunk;
    for (let at = this.#text.indexOf('\n'); at >= 0; at = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, at);
      this.#text = this.#text.slice(at + 1);
      this.#waiting?.resolve(parseAnswer(line));
    }
    if (this.#text.length > MAX_LINE_CHARS) this.#socket.destroy(new Error('it does not speak our protocol'));
  }

  #lost(error: Error): void {
    if (this.#waiting) this.#waiting.reject(error);
    else if (!this.#given) this.#onLost(new Error(`the watchdog at ${this.#path} is gone: ${error.message}`, { cause: error }));
    this.#given = true;
  }
}
