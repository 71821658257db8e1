// Asks a CoServer for its picture of the pair, and for an action, over the Unix socket of its console.
import { request } from 'node:http';
import type { Snapshot } from '../../appliance/core/snapshot.ts';

/** A process that runs answers within some ms; one that is frozen or gone never does. */
const ANSWER_TIMEOUT_MS = 1_000;
const ACTION_TIMEOUT_MS = 10_000;
/** A picture is some tens of kilobytes. */
const MAX_ANSWER_BYTES = 4 << 20;

interface Answer {
  status: number;
  body: string;
}

function ask(socketPath: string, method: 'GET' | 'POST', path: string, body: string | null, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const asked = request({ agent: false, socketPath, method, path, headers, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      response.once('error', reject);
    });
    asked.once('error', reject);
    asked.end(body ?? undefined);
  });
}

/** null: nobody answers there now (no power, frozen, starting). */
export async function readSnapshot(socketPath: string): Promise<Snapshot | null> {
  try {
    const { status, body } = await ask(socketPath, 'GET', '/api/snapshot', null, ANSWER_TIMEOUT_MS);
    return status === 200 ? (JSON.parse(body) as Snapshot) : null;
  } catch {
    return null;
  }
}

/** Asks for an operator's action; `typed`: the word that one needs which can lose data. Throws with the reason when it is refused or nobody answers. */
export async function requestAction(socketPath: string, action: string, typed?: string): Promise<void> {
  const { status, body } = await ask(
    socketPath,
    'POST',
    `/api/actions/${action}`,
    JSON.stringify(typed === undefined ? {} : { typed }),
    ACTION_TIMEOUT_MS,
  );
  if (status === 200) return;
  let reason = `status ${status}`;
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'object' && value !== null && 'reason' in value) reason = String(value.reason);
  } catch {
    // The status alone is told.
  }
  throw new Error(`${action} was refused: ${reason}`);
}
