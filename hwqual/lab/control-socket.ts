// The lab's own socket: one JSON line {"action", "target"} in, one JSON line {"accepted": true, "result"} or
// {"accepted": false, "reason"} out. The web console's lab buttons speak the same through the CoServer (labSocket).
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { LabError, messageOf } from './lab-error.ts';

/** A request is a short line. */
const MAX_REQUEST_CHARS = 4096;
/** Two snapshots with all their history. */
const MAX_ANSWER_CHARS = 16 << 20;

export interface LabRequest {
  action: string;
  target: string;
}

export type LabAnswer = { accepted: true; result: unknown } | { accepted: false; reason: string };

/** `closed` resolves when the asker hangs up: for actions that last as long as the connection. */
export type LabHandler = (request: LabRequest, closed: Promise<void>) => Promise<unknown>;

export class ControlSocket {
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(path: string, handler: LabHandler): Promise<ControlSocket> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    rmSync(path, { force: true });
    const server = createServer();
    const control = new ControlSocket(server);
    server.on('connection', (socket) => control.#serve(socket, handler));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    return control;
  }

  #serve(socket: Socket, handler: LabHandler): void {
    this.#open.add(socket);
    let text = '';
    let taken = false;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    void closed.then(() => this.#open.delete(socket));
    const answer = (a: LabAnswer) => socket.writable && socket.write(`${JSON.stringify(a)}\n`);
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      if (taken) return;
      text += chunk;
      const at = text.indexOf('\n');
      if (at < 0) {
        if (text.length > MAX_REQUEST_CHARS) socket.destroy();
        return;
      }
      taken = true;
      const asked = parseRequest(text.slice(0, at));
      if (asked === null) answer({ accepted: false, reason: 'one JSON line {"action": ..., "target": ...} is needed' });
      else
        handler(asked, closed).then(
          (result) => answer({ accepted: true, result: result ?? null }),
          (error: unknown) => answer({ accepted: false, reason: messageOf(error) }),
        );
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function parseRequest(line: string): LabRequest | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null || !('action' in value) || typeof value.action !== 'string') return null;
    return { action: value.action, target: 'target' in value && typeof value.target === 'string' ? value.target : '' };
  } catch {
    return null;
  }
}

/** An open conversation with the lab: the answer, and the connection that goes on until it is closed. */
export async function askLab(path: string, request: LabRequest): Promise<{ result: unknown; closed: Promise<void>; close: () => void }> {
  const socket = connect(path);
  socket.setEncoding('utf8');
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    let text = '';
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.once('error', (e: NodeJS.ErrnoException) =>
      reject(
        e.code === 'ENOENT' || e.code === 'ECONNREFUSED'
          ? new LabError('no pair runs here', 'npm start, or: npm run lab -- up --detach')
          : new LabError(`the lab does not answer: ${e.message}`),
      ),
    );
    socket.on('data', (chunk: string) => {
      text += chunk;
      const at = text.indexOf('\n');
      if (at >= 0) resolve(text.slice(0, at));
      else if (text.length > MAX_ANSWER_CHARS) reject(new LabError('the lab sent an answer that is too long'));
    });
    void closed.then(() => reject(new LabError(`the lab ended while it was asked for ${request.action}`)));
  });
  const answer = JSON.parse(line) as LabAnswer;
  if (!answer.accepted) {
    socket.destroy();
    throw new LabError(answer.reason);
  }
  return { result: answer.result, closed, close: () => socket.destroy() };
}
