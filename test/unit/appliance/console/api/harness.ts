// A console server with a pair that the test moves, and a client that sends exactly the headers it is told.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ActionArgs,
  type ConsoleServer,
  consoleCertificate,
  hashPassword,
  type Lab,
  type RequestAnswer,
  startConsoleServer,
} from '../../../../../appliance/console/api/index.ts';
import type { UpdateRequest } from '../../../../../appliance/console/api/update-routes.ts';
import type { SettingsRequest } from '../../../../../appliance/console/settings-state.ts';
import type { Snapshot } from '../../../../../appliance/core/snapshot.ts';
import { duplex } from '../fixtures.ts';

export const PASSWORD = 'correct horse';
const passwordHash = await hashPassword(PASSWORD);

export interface Harness {
  directory: string;
  server: ConsoleServer;
  port: number;
  socketPath: string;
  log: string[];
  asked: { action: string; args: ActionArgs; by: string }[];
  /** Moves the limiter's and the sessions' clock. */
  sleep(ms: number): void;
  set(snapshot: Snapshot): void;
  listeners: Set<() => void>;
  /** When nobody listens any more. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export interface HarnessOptions {
  lab?: Lab;
  passwordHash?: string;
  webRoot?: string;
  answer?: RequestAnswer;
  first?: Snapshot;
  updates?: UpdateRequest;
  settings?: SettingsRequest;
}

export async function harness(options: HarnessOptions = {}): Promise<Harness> {
  const directory = await mkdtemp(join(tmpdir(), 'co-console-'));
  const webRoot = options.webRoot ?? directory;
  if (!options.webRoot) await writeFile(join(directory, 'index.html'), '<!doctype html><title>Twinstep</title>');
  let current = options.first ?? duplex();
  let offsetMs = 0;
  const listeners = new Set<() => void>();
  const log: string[] = [];
  const idlers: (() => void)[] = [];
  const asked: Harness['asked'] = [];
  const port = await freePort();
  const socketPath = join(directory, 'console.sock');
  const server = await startConsoleServer({
    snapshot: () => current,
    onChange: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) for (const resolve of idlers.splice(0)) resolve();
      };
    },
    request: async (action, args, by) => {
      asked.push({ action, args, by });
      return options.answer ?? { accepted: true };
    },
    ...(options.updates ? { updates: options.updates } : {}),
    ...(options.settings ? { settings: options.settings } : {}),
    config: { port, address: '127.0.0.1', passwordHash: options.passwordHash ?? passwordHash, socketPath },
    tls: await consoleCertificate({ stateDir: join(directory, 'state'), coServer: 'A', names: ['127.0.0.1'] }),
    webRoot,
    ...(options.lab ? { lab: options.lab } : {}),
    log: (line) => log.push(line),
    nowMs: () => performance.now() + offsetMs,
  });
  return {
    directory,
    server,
    port,
    socketPath,
    log,
    asked,
    listeners,
    idle: () => new Promise((resolve) => idlers.push(resolve)),
    sleep: (ms) => {
      offsetMs += ms;
    },
    set: (next) => {
      current = next;
      for (const listener of listeners) listener();
    },
    close: async () => {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

export interface Call {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** `to`: a TLS port on 127.0.0.1 or the path of a Unix socket. */
export function call(to: number | string, { method = 'GET', path, headers = {}, body }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const common = { method, path, headers };
    const request =
      typeof to === 'number'
        ? httpsRequest({ ...common, host: '127.0.0.1', port: to, rejectUnauthorized: false, agent: false })
        : httpRequest({ ...common, socketPath: to, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    request.end(body);
  });
}

export const OURS = { 'content-type': 'application/json', 'x-twinstep-console': '1' };

export function post(path: string, value: unknown, headers: Record<string, string> = {}): Call {
  return { method: 'POST', path, headers: { ...OURS, ...headers }, body: JSON.stringify(value) };
}

/** The session's cookie, as a browser would send it back. */
export async function signIn(port: number): Promise<string> {
  const answer = await call(port, post('/api/login', { password: PASSWORD }));
  const cookie = answer.headers['set-cookie']?.[0]?.split(';')[0];
  if (answer.status !== 200 || !cookie) throw new Error(`sign-in failed: ${answer.status} ${answer.text}`);
  return cookie;
}
