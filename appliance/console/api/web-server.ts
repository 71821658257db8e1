// A server for browsers: TLS on one address, the built page beside the API, bounds on who is slow. What it answers is registered by others.
import { access } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server } from 'node:net';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import { type FastifyInstance, type FastifyServerFactoryHandler, fastify } from 'fastify';

/** An action and its arguments; a password. */
const BODY_LIMIT_BYTES = 8 * 1024;
/** A whole request must have come by then: slow senders must not hold sockets. */
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 10_000;
/** How often slow senders are looked for. */
const CHECK_INTERVAL_MS = 2_000;
/** Live clients, their pages' other requests, and room. */
const CONNECTIONS_MAX = 128;

export const plainServer = (): FastifyInstance => bare((handler) => createHttpServer(handler));

/** PEM. */
export interface TlsFiles {
  key: string;
  cert: string;
}

export const tlsServer = (tls: TlsFiles): FastifyInstance =>
  bare((handler) =>
    createHttpsServer(
      { ...tls, minVersion: 'TLSv1.2', handshakeTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: CHECK_INTERVAL_MS },
      handler,
    ),
  );

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

/** `webRoot`: directory of the built page (index.html, app.js, style.css). */
export async function servePage(app: FastifyInstance, webRoot: string): Promise<void> {
  await access(join(webRoot, 'index.html')).catch(() => {
    throw new Error(`console: there is no index.html in ${webRoot}: build the page first (npm run build)`);
  });
  await app.register(fastifyStatic, {
    root: webRoot,
    cacheControl: false,
    setHeaders: (reply) => reply.header('cache-control', 'no-cache'),
  });
}

/** The framework closes only what it opened itself. */
export async function closeServer(app: FastifyInstance): Promise<void> {
  const { server } = app;
  if (server.listening) {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
  await app.close();
}

export function listenOnAddress(server: Server, address: string, port: number): Promise<void> {
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
