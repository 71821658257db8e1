// The local socket of a pairing under way (pair.sock in the run directory, mode 0600): `twinstep pair` in a second terminal, or a script, looks
// and speaks through it. One JSON object a line.
//
//   -> {"ask":"confirm","code":"123456"}   {"ask":"differ"}
//   <- {"view":{...},"problems":[...]}     at once and at every change
//      {"reply":{"accepted":false,"reason":"..."}}   {"ended":"differThere"}   {"paired":{...}}
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { PairingHost, Reply } from './host.ts';
import type { Outcome } from './state.ts';
import type { PairingView } from './view.ts';

export const controlSocketOf = (runDir: string): string => join(runDir, 'pair.sock');

/** Longer than any of the lines above; more is not ours. */
const LINE_CHARS = 64 * 1024;

export type ControlAnswer = { view: PairingView; problems: string[] } | { reply: Reply } | { ended: Outcome } | { paired: PairingView };

export type ControlRequest = { ask: 'confirm'; code: string } | { ask: 'differ' };

/** Null: another process holds the socket, so it is the one that pairs. */
export async function serveControl(host: PairingHost, path: string): Promise<{ close(): void } | null> {
  if (await openControl(path).then(close, () => false)) return null;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  const clients = new Set<Socket>();
  const tell = (client: Socket, answer: ControlAnswer): boolean => client.write(`${JSON.stringify(answer)}\n`);
  const picture = (): ControlAnswer => ({ view: host.view(), problems: host.linkProblems() });
  const server = createServer((client) => {
    clients.add(client);
    client.on('close', () => clients.delete(client));
    client.on('error', () => client.destroy());
    readLines(client, (line) => {
      const request = parseRequest(line);
      if (!request) return tell(client, { reply: { accepted: false, reason: `'${line.slice(0, 80)}' is no request` } });
      return tell(client, { reply: request.ask === 'confirm' ? host.confirm(request.code) : host.differ() });
    });
    tell(client, picture());
  });
  const silence = host.onChange(() => {
    for (const client of clients) tell(client, picture());
  });
  host.onEnded((ended) => {
    for (const client of clients) tell(client, { ended });
  });
  host.paired.then((paired) => {
    for (const client of clients) tell(client, { paired });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    close: () => {
      silence();
      server.close();
      for (const client of clients) client.end();
    },
  };
}

function close(client: Socket): true {
  client.destroy();
  return true;
}

/** Rejects when nobody listens there. */
export function openControl(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const client = connect(path);
    client.once('error', reject);
    client.once('connect', () => {
      client.off('error', reject);
      client.on('error', () => client.destroy());
      resolve(client);
    });
  });
}

export function readAnswers(client: Socket, onAnswer: (answer: ControlAnswer) => void): void {
  readLines(client, (line) => onAnswer(JSON.parse(line) as ControlAnswer));
}

export function ask(client: Socket, request: ControlRequest): void {
  client.write(`${JSON.stringify(request)}\n`);
}

function readLines(client: Socket, onLine: (line: string) => unknown): void {
  let text = '';
  client.setEncoding('utf8');
  client.on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    if (text.length > LINE_CHARS) {
      client.destroy();
      return;
    }
    for (const line of lines) onLine(line);
  });
}

function parseRequest(line: string): ControlRequest | null {
  try {
    const value = JSON.parse(line) as Record<string, unknown> | null;
    if (value?.['ask'] === 'differ') return { ask: 'differ' };
    const code = value?.['code'];
    return value?.['ask'] === 'confirm' && typeof code === 'string' && code.length <= 32 ? { ask: 'confirm', code } : null;
  } catch {
    return null;
  }
}
