// Lab actions: one JSON line to the lab's Unix socket, one JSON line back ({"accepted":true} or {"accepted":false,"reason":"..."}).
import { connect } from 'node:net';
import type { LabAction, RequestAnswer } from './types.ts';

/** What the lab offers and what each acts on. */
export const LAB_TARGETS: Readonly<Record<string, readonly string[]>> = {
  'power-off': ['A', 'B'],
  'power-on': ['A', 'B'],
  freeze: ['A', 'B'],
  thaw: ['A', 'B'],
  'cut-link': ['1', '2'],
  'mend-link': ['1', '2'],
};

const ANSWER_TIMEOUT_MS = 10_000;
const ANSWER_MAX_CHARS = 4096;

export interface Lab {
  request(action: LabAction): Promise<RequestAnswer>;
}

/** Forwards to the socket; a lab that is gone or talks nonsense is a refusal with that reason, never an exception. */
export function labAt(socketPath: string): Lab {
  return { request: (action) => ask(socketPath, action).catch((error: Error) => ({ accepted: false, reason: error.message })) };
}

function ask(socketPath: string, action: LabAction): Promise<RequestAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = '';
    const end = (result: RequestAnswer | Error): void => {
      socket.destroy();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => end(new Error(`the lab did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`)));
    socket.on('connect', () => socket.write(`${JSON.stringify(action)}\n`));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(new Error(`the lab does not answer (${error.code ?? error.message}): is it still running?`)),
    );
    socket.on('close', () => end(new Error('the lab closed the connection without an answer')));
    socket.on('data', (chunk: string) => {
      text += chunk;
      const at = text.indexOf('\n');
      if (at >= 0) end(parseAnswer(text.slice(0, at)));
      else if (text.length > ANSWER_MAX_CHARS) end(new Error('the lab sent an answer that is too long'));
    });
  });
}

function parseAnswer(line: string): RequestAnswer | Error {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && 'accepted' in value) {
      if (value.accepted === true) return { accepted: true };
      if (value.accepted === false)
        return { accepted: false, reason: 'reason' in value && typeof value.reason === 'string' ? value.reason : 'refused' };
    }
  } catch {
    // Said below.
  }
  return new Error(`the lab sent an answer that is not understood: ${line.slice(0, 80)}`);
}
