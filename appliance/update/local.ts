// The product's own local socket: the picture of the pair (that it answers is half of being healthy), and what is asked of it.
import { request } from 'node:http';
import type { Snapshot } from '../core/snapshot.ts';
import { UpdateRefusal } from './bundle.ts';

const ANSWER_TIMEOUT_MS = 10_000;
const MAX_CHARS = 8 << 20;

/** null: nobody answers there, or not with a picture. */
export async function localSnapshot(socketPath: string): Promise<Snapshot | null> {
  const answer = await ask(socketPath, '/api/snapshot');
  return answer?.status === 200 ? asPicture(answer.value) : null;
}

/** `body`: makes it a POST. Throws UpdateRefusal when nobody answers. */
export async function askLocal(socketPath: string, path: string, body?: object): Promise<{ status: number; value: unknown }> {
  const answer = await ask(socketPath, path, body);
  if (answer) return answer;
  throw new UpdateRefusal('busy', `Twinstep does not answer at ${socketPath}: start it, or name its socket with --socket.`);
}

/** null: nobody answers there, or not in time. */
function ask(socketPath: string, path: string, body?: object): Promise<{ status: number; value: unknown } | null> {
  return new Promise((resolve) => {
    const post = body ? { method: 'POST', headers: { 'content-type': 'application/json' } } : {};
    const call = request({ agent: false, socketPath, path, timeout: ANSWER_TIMEOUT_MS, ...post });
    const fail = () => {
      call.destroy();
      resolve(null);
    };
    call.on('timeout', fail);
    call.on('error', fail);
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', fail);
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_CHARS) fail();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, value: parse(text) }));
    });
    call.end(body ? JSON.stringify(body) : undefined);
  });
}

function asPicture(value: unknown): Snapshot | null {
  return typeof value === 'object' && value !== null && 'redundancy' in value && 'coServers' in value ? (value as Snapshot) : null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
