// Questions of the command line to the process on this CoServer, over the Unix socket of its console.
import { request } from 'node:http';
import type { Snapshot } from '../../core/snapshot.ts';

/** Where the appliance's process listens unless its configuration says otherwise. */
export const DEFAULT_SOCKET = '/run/twinstep/console.sock';
const ANSWER_TIMEOUT_MS = 5_000;
const SNAPSHOT_MAX_CHARS = 8 * 1024 * 1024;

/** What a command of the command line writes to. */
export interface CommandIo {
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown };
}

export async function oneSnapshot(socketPath: string): Promise<Snapshot> {
  let text = '';
  const status = await askSocket({ socketPath, path: '/api/snapshot', silenceMs: ANSWER_TIMEOUT_MS }, (chunk) => {
    text += chunk;
    if (text.length > SNAPSHOT_MAX_CHARS) throw new Error(`${socketPath} sent more than a picture: is it twinstep's?`);
  });
  if (status !== 200) throw new Error(badStatus(socketPath, status));
  return parseSnapshot(text, socketPath);
}

export const badStatus = (socketPath: string, status: number): string =>
  `The process at ${socketPath} answered with HTTP status ${status}.`;

export function parseSnapshot(text: string, socketPath: string): Snapshot {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'redundancy' in value && 'coServers' in value) return value as Snapshot;
  } catch {
    // Said below.
  }
  throw new Error(`${socketPath} answers, but not with a picture of a pair: is it twinstep's, of the same version?`);
}

export interface SocketQuestion {
  socketPath: string;
  path: string;
  /** JSON text; it makes the question a POST. */
  body?: string;
  /** So long may the process say nothing. */
  silenceMs: number;
  signal?: AbortSignal;
}

/** Answers the HTTP status when all has come. Throws, with the remedy, when nobody answers. */
export function askSocket(
  { socketPath, path, body, silenceMs, signal }: SocketQuestion,
  onChunk: (chunk: string) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const more = body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' } };
    const call = request({ agent: false, socketPath, path, ...more, ...(signal ? { signal } : {}) });
    call.setTimeout(silenceMs, () => call.destroy(new Error(`The process at ${socketPath} has been silent for ${silenceMs / 1000} s.`)));
    call.on('error', (error: NodeJS.ErrnoException) => reject(signal?.aborted ? new Error('stopped') : explained(error, socketPath)));
    call.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('error', (error: Error) => reject(explained(error, socketPath)));
      response.on('data', (chunk: string) => {
        try {
          onChunk(chunk);
        } catch (error) {
          call.destroy();
          reject(error);
        }
      });
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    call.end(body);
  });
}

function explained(error: NodeJS.ErrnoException, socketPath: string): Error {
  switch (error.code) {
    case 'ENOENT':
      return new Error(`twinstep does not run here: there is no ${socketPath}. Start it, or name its socket with --socket.`);
    case 'ECONNREFUSED':
      return new Error(`twinstep does not run here any more: nobody answers at ${socketPath}. Start it again.`);
    case 'EACCES':
      return new Error(`${socketPath} may be opened by its owner only: run this as root.`);
    case 'ENOTSOCK':
      return new Error(`${socketPath} is not a socket: name the process's socket with --socket.`);
    case 'ECONNRESET':
      return new Error(`The process at ${socketPath} ended the connection.`);
    default:
      return error;
  }
}
