// The console's server: HTTPS on the management address for operators, and the same API on a local Unix socket for the command line.
// Both are closed together; nothing here decides anything about the pair.
import { access } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server } from 'node:net';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import { type FastifyInstance, type FastifyServerFactoryHandler, fastify } from 'fastify';
import type { SettingsRequest } from '../settings-state.ts';
import type { Lab } from './lab.ts';
import { LiveHub } from './live.ts';
import { PasswordVerifier } from './password.ts';
import { type RouteOptions, registerRoutes } from './routes.ts';
import { Sessions } from './sessions.ts';
import type { ActionRequest, PointRequest, SnapshotSource } from './types.ts';
import { listenOnUnixSocket } from './unix-listener.ts';
import type { UpdateRequest } from './update-routes.ts';

/** An action and its arguments; a password. */
const BODY_LIMIT_BYTES = 8 * 1024;
/** A whole request must have come by then: slow senders must not hold sockets. */
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 10_000;
/** How often slow senders are looked for. */
const CHECK_INTERVAL_MS = 2_000;
/** Live clients, their pages' other requests, and room. */
const CONNECTIONS_MAX = 128;

export interface ConsoleServerOptions extends SnapshotSource {
  request: ActionRequest;
  /** Missing: there are no restore points here. */
  points?: PointRequest;
  /** Missing: this server was not started from an image. */
  updates?: UpdateRequest;
  /** Missing: nothing can be changed here. */
  settings?: SettingsRequest;
  /** What is known of the two servers' hardware, JSON. Missing or null: nobody asks. */
  qualification?: () => object | null;
  config: {
    /** TLS port; 0: no TLS console. */
    port: number;
    address: string;
    /** argon2id, PHC string; '': nobody can sign in. */
    passwordHash: string;
    socketPath: string;
  };
  /** PEM. */
  tls: { key: string; cert: string };
  /** Directory of the built page (index.html, app.js, style.css). */
  webRoot: string;
  lab?: Lab;
  /** One line per sign-in, action and failure; never a secret. */
  log?: (line: string) => void;
  /** Monotonic ms, for tests. */
  nowMs?: () => number;
}

export interface ConsoleServer {
  /** 'https://10.0.0.1:8443', or null without a TLS console. */
  url: string | null;
  /** From now on; all sessions but this one end. */
  setPassword(hash: string, session: string): void;
  close(): Promise<void>;
}

export async function startConsoleServer(options: ConsoleServerOptions): Promise<ConsoleServer> {
  const { config } = options;
  const nowMs = options.nowMs ?? (() => performance.now());
  const live = new LiveHub({ snapshot: options.snapshot, onChange: options.onChange, nowMs });
  const shared: Omit<RouteOptions, 'signIn'> = {
    snapshot: options.snapshot,
    onChange: options.onChange,
    live,
    request: options.request,
    points: options.points,
    updates: options.updates,
    settings: options.settings,
    qualification: options.qualification,
    lab: options.lab,
    log: options.log ?? (() => {}),
  };
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    live.close();
    await Promise.all(closers.map((closer) => closer()));
  };
  try {
    const local = bare((handler) => createHttpServer(handler));
    registerRoutes(local, { ...shared, signIn: null });
    await local.ready();
    const removeName = await listenOnUnixSocket(local.server, config.socketPath);
    closers.push(() => closeServer(local).then(removeName));
    if (config.port === 0) return { url: null, setPassword: () => {}, close };

    const password = new PasswordVerifier(config.passwordHash);
    const sessions = new Sessions(nowMs);
    const setPassword = (hash: string, session: string): void => {
      password.change(hash);
      sessions.closeOthers(session);
    };
    const remote = bare((handler) =>
      createHttpsServer(
        { ...options.tls, minVersion: 'TLSv1.2', handshakeTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: CHECK_INTERVAL_MS },
        handler,
      ),
    );
    closers.push(() => closeServer(remote));
    // Both consoles of a pair may be reached through one name with two ports, and cookies know no ports: each has its own name.
    const cookieName = `__Host-twinstep-${options.snapshot().coServer}`;
    registerRoutes(remote, { ...shared, signIn: { sessions, password, cookieName, nowMs } });
    await access(join(options.webRoot, 'index.html')).catch(() => {
      throw new Error(`console: there is no index.html in ${options.webRoot}: build the page first (npm run build)`);
    });
    await remote.register(fastifyStatic, {
      root: options.webRoot,
      cacheControl: false,
      setHeaders: (reply) => reply.header('cache-control', 'no-cache'),
    });
    await remote.ready();
    await listenOnAddress(remote.server, config.address, config.port);
    const host = config.address.includes(':') ? `[${config.address}]` : config.address;
    return { url: `https://${host}:${config.port}`, setPassword, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function bare(serverOf: (handler: FastifyServerFactoryHandler) => ReturnType<typeof createHttpServer>): FastifyInstance {
  return fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    serverFactory: (handler) => {
      const server = serverOf(handler);
      server.requestTimeout = REQUEST_TIMEOUT_MS;
      server.headersTimeout = REQUEST_TIMEOUT_MS;
      server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
      server.maxConnections = CONNECTIONS_MAX;
      return server;
    },
  });
}

/** The framework closes only what it opened itself. */
async function closeServer(app: FastifyInstance): Promise<void> {
  const { server } = app;
  if (server.listening) {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
  await app.close();
}

function listenOnAddress(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, address, port)));
    server.listen({ host: address, port }, resolve);
  });
}

function listenError(error: NodeJS.ErrnoException, address: string, port: number): Error {
  switch (error.code) {
    case 'EADDRINUSE':
      return new Error(`console: port ${port} on ${address} is used by another program: stop it or set console.port`);
    case 'EADDRNOTAVAIL':
      return new Error(`console: this machine has no address ${address}: set management.address to one of its addresses`);
    case 'EACCES':
      return new Error(`console: port ${port} may not be opened: run as root or set console.port above 1023`);
    default:
      return error;
  }
}
