// The picture of the pair from the product's own local socket: that it answers is half of being healthy.
import { request } from 'node:http';
import type { Snapshot } from '../core/snapshot.ts';

const ANSWER_TIMEOUT_MS = 10_000;
const MAX_CHARS = 8 << 20;

/** null: nobody answers there, or not with a picture. */
export function localSnapshot(socketPath: string): Promise<Snapshot | null> {
  return new Promise((resolve) => {
    const call = request({ agent: false, socketPath, path: '/api/snapshot', timeout: ANSWER_TIMEOUT_MS });
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
      response.on('end', () => resolve(response.statusCode === 200 ? parse(text) : null));
    });
    call.end();
  });
}

function parse(text: string): Snapshot | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'redundancy' in value && 'coServers' in value ? (value as Snapshot) : null;
  } catch {
    return null;
  }
}
