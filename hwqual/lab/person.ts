// Asks a person at the screen to do something with their hands, and times it: what to do, then Enter when it is done, or "no" and why.
import type { Readable, Writable } from 'node:stream';
import { LabError } from './lab-error.ts';

/** A reason is a sentence. */
const MAX_ANSWER_CHARS = 1000;
const TICK_MS = 1000;

export interface PersonDone {
  /** Monotonic ms: when they said so. */
  atMs: number;
  /** From the question to the answer. */
  tookMs: number;
}

export interface Person {
  /** Resolves when they say that it is done. Throws a LabError when they say no, go away, or do not answer in time. */
  ask(what: string): Promise<PersonDone>;
}

/** A terminal, or a pipe: while nothing is asked, it is no reason for the process to live on. */
type Input = Readable & { ref?(): unknown; unref?(): unknown };

export function personAtScreen(options: { input: Input; output: Writable; timeoutMs: number; isTerminal: boolean }): Person {
  const { input, output, timeoutMs, isTerminal } = options;
  return {
    ask: async (what) => {
      const startedMs = performance.now();
      output.write(`\n  >>> ${what}\n  Press Enter the moment it is done; or type "no" and why not.\n`);
      const shown = () => isTerminal && output.write(`\r  ${Math.round((performance.now() - startedMs) / 1000)} s `);
      const ticker = setInterval(shown, TICK_MS);
      try {
        const line = await readLine(input, timeoutMs, what);
        const atMs = performance.now();
        if (/^no\b/i.test(line))
          throw new LabError(`not done: ${what}${line.length > 2 ? ` (${line.slice(2).replace(/^[\s,:.]+/, '')})` : ''}`);
        return { atMs, tookMs: atMs - startedMs };
      } finally {
        clearInterval(ticker);
      }
    },
  };
}

function readLine(input: Input, timeoutMs: number, what: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const finish = (then: () => void) => {
      clearTimeout(timer);
      input.off('data', onData);
      input.off('end', onEnd);
      input.pause();
      input.unref?.();
      then();
    };
    const timer = setTimeout(
      () => finish(() => reject(new LabError(`nobody said within ${Math.round(timeoutMs / 60_000)} minutes that it is done: ${what}`))),
      timeoutMs,
    );
    const onEnd = () => finish(() => reject(new LabError(`nobody is at the screen to do it: ${what}`, 'run it in a terminal')));
    const onData = (chunk: Buffer | string) => {
      text = (text + chunk.toString()).slice(0, MAX_ANSWER_CHARS);
      const end = text.indexOf('\n');
      if (end >= 0) finish(() => resolve(text.slice(0, end).trim()));
    };
    input.on('data', onData);
    input.once('end', onEnd);
    input.ref?.();
    input.resume();
  });
}
