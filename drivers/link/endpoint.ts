// Makes the TLS connection of one link, again and again: A dials from its local address, B listens on its own.
//
// Both ends prove that they have the key before a byte of ours is exchanged (TLS 1.3 with an external pre-shared key).
// Nothing here throws: every failure becomes a sentence (`problem`), or a stranger.
import type { Socket } from 'node:net';
import tls from 'node:tls';

/** How long A waits after a connection ended or failed. Short: a link that comes back should carry at once. */
export const RETRY_MS = 100;
/** After a stranger or a broken protocol: nothing to hurry for, and no flood of handshakes. */
export const RETRY_SLOW_MS = 1_000;
/** Until TCP is connected, and at first for the TLS handshake too: a dead host must not hold up the next attempt for minutes. */
const PATIENCE_MS = 2_000;
/** For a handshake with a host whose TCP answers: it lives, and may be slow. Each one that was too short is followed by one twice as long. */
const LONGEST_PATIENCE_MS = 60_000;
/** Connections that B holds per link at once, handshakes included: one is wanted, a few may be dying. */
const MAX_CONNECTIONS = 8;
const IDENTITY = 'twinstep-pair';
const KEY_BYTES = 32;

const TLS_OPTIONS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;

export interface EndpointOptions {
  localAddress: string;
  remoteAddress: string;
  port: number;
  key: Uint8Array;
  /** For tests: how long A waits at first, and B at all. */
  patienceMs?: number;
}

export interface EndpointEvents {
  /** Both ends have the key. The callee owns the socket. */
  onSocket(socket: Socket): void;
  onStranger(remoteAddress: string, message: string): void;
  /** Why there is no connection, in one sentence. */
  onProblem(message: string): void;
}

export interface Endpoint {
  /** From now on connections are made. `soon`: at once, else after the given delay. */
  open(delayMs: number): void;
  /** No connection is made or accepted until `open`. Connections handed out are left alone. */
  shut(): void;
}

/** Throws RangeError for a key of the wrong size: a programmer's error. */
export function createEndpoint(side: 'A' | 'B', options: EndpointOptions, events: EndpointEvents): Endpoint {
  if (options.key.length !== KEY_BYTES) throw new RangeError(`the channel's key has ${options.key.length} bytes instead of ${KEY_BYTES}`);
  return side === 'A' ? new Dialer(options, events) : new Listener(options, events);
}

function errorCode(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

/** A TLS alert or a failed check, in contrast to a connection that just broke, or to a handshake that only did not come to its end. */
function isTlsFailure(error: Error): boolean {
  if (errorCode(error) === 'ERR_TLS_HANDSHAKE_TIMEOUT') return false;
  return errorCode(error).startsWith('ERR_SSL_') || errorCode(error).startsWith('ERR_TLS_');
}

/** OpenSSL's reason without its source line. */
function tlsReason(error: Error): string {
  return (
    errorCode(error)
      .replace(/^ERR_(SSL|TLS)_/, '')
      .toLowerCase()
      .replaceAll('_', ' ') || error.message
  );
}

class Dialer implements Endpoint {
  readonly #options: EndpointOptions;
  readonly #events: EndpointEvents;
  readonly #patienceMs: number;
  #timer: NodeJS.Timeout | undefined;
  #socket: tls.TLSSocket | undefined;
  /** What these two hosts need when they are busy is kept: they will be as slow when the link comes back. */
  #handshakeMs: number;

  constructor(options: EndpointOptions, events: EndpointEvents) {
    this.#options = options;
    this.#events = events;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#handshakeMs = this.#patienceMs;
  }

  open(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#dial(), delayMs);
  }

  shut(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  #dial(): void {
    const { localAddress, remoteAddress, port, key } = this.#options;
    this.shut();
    const socket = tls.connect({
      ...TLS_OPTIONS,
      host: remoteAddress,
      port,
      localAddress,
      pskCallback: () => ({ psk: key, identity: IDENTITY }),
      // Asked only about a certificate. The key alone says who it is: a certificate that the world trusts is a stranger's too.
      rejectUnauthorized: true,
      checkServerIdentity: () => Object.assign(new Error('a certificate came'), { code: 'ERR_TLS_CERTIFICATE_INSTEAD_OF_A_KEY' }),
    } as tls.ConnectionOptions);
    this.#socket = socket;
    let over = false;
    const fail = (problem: string, delayMs: number): void => {
      if (over || this.#socket !== socket) return;
      over = true;
      clearTimeout(timeout);
      this.shut();
      this.#events.onProblem(problem);
      this.open(delayMs);
    };
    let timeout = setTimeout(() => {
      // This thread itself may have been late: what has arrived meanwhile is looked at first.
      setImmediate(() => {
        if (socket.connecting) fail(`${remoteAddress}:${port} does not answer`, RETRY_MS);
      });
    }, this.#patienceMs);
    socket.once('connect', () => {
      clearTimeout(timeout);
      timeout = setTimeout(() => {
        setImmediate(() => {
          if (over) return;
          const waitedMs = this.#handshakeMs;
          this.#handshakeMs = Math.min(2 * waitedMs, LONGEST_PATIENCE_MS);
          fail(`${remoteAddress}:${port} did not finish the handshake within ${waitedMs / 1000} s`, RETRY_MS);
        });
      }, this.#handshakeMs);
    });
    socket.on('error', (error) => {
      if (over) return;
      if (isTlsFailure(error)) {
        const sentence = `${remoteAddress}:${port} does not have this pair's key (${tlsReason(error)}): another pair's CoServer is cabled to this link, or the two must be paired again`;
        fail(sentence, RETRY_SLOW_MS);
        this.#events.onStranger(remoteAddress, sentence);
        return;
      }
      fail(`${localAddress} cannot connect to ${remoteAddress}:${port}: ${error.message}`, RETRY_MS);
    });
    socket.on('close', () => {
      clearTimeout(timeout);
      fail(`${remoteAddress}:${port} closed the connection during the handshake`, RETRY_MS);
    });
    socket.once('secureConnect', () => {
      if (over || this.#socket !== socket) return;
      over = true;
      clearTimeout(timeout);
      this.#socket = undefined;
      this.#events.onSocket(socket);
    });
  }
}

class Listener implements Endpoint {
  readonly #options: EndpointOptions;
  readonly #events: EndpointEvents;
  #timer: NodeJS.Timeout | undefined;
  #server: tls.Server | undefined;

  constructor(options: EndpointOptions, events: EndpointEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Listening already: nothing to do, the partner comes by itself. */
  open(delayMs: number): void {
    if (this.#server) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#listen(), delayMs);
  }

  shut(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#server?.close();
    this.#server = undefined;
  }

  #listen(): void {
    const { localAddress, port, key } = this.#options;
    const server = tls.createServer({
      ...TLS_OPTIONS,
      pskCallback: (_socket: tls.TLSSocket, identity: string) => (identity === IDENTITY ? key : null),
      // A decides; this ends those of a dialer that vanished without a word.
      handshakeTimeout: this.#options.patienceMs ?? LONGEST_PATIENCE_MS,
    } as tls.TlsOptions);
    server.maxConnections = MAX_CONNECTIONS;
    this.#server = server;
    server.on('error', (error) => {
      if (this.#server !== server) return;
      this.shut();
      this.#events.onProblem(listenProblem(error, localAddress, port));
      this.open(RETRY_SLOW_MS);
    });
    server.on('tlsClientError', (error, socket) => {
      const remote = socket.remoteAddress ?? 'a vanished address';
      socket.on('error', () => undefined);
      socket.destroy();
      if (!isTlsFailure(error)) return;
      const sentence = `${remote} tried to connect to ${localAddress}:${port} without this pair's key (${tlsReason(error)}): another pair's CoServer is cabled to this link, or the two must be paired again`;
      this.#events.onStranger(remote, sentence);
    });
    server.on('secureConnection', (socket) => {
      if (this.#server === server) this.#events.onSocket(socket);
      else socket.on('error', () => undefined).destroy();
    });
    server.listen({ host: localAddress, port, backlog: 16 });
  }
}

function listenProblem(error: Error, localAddress: string, port: number): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return `port ${port} on ${localAddress} is in use by another process: stop it, or a second instance of this appliance`;
    case 'EADDRNOTAVAIL':
      return `this machine has no address ${localAddress}: the link's NIC is missing or not configured`;
    case 'EACCES':
      return `not allowed to listen on ${localAddress}:${port}: root is needed`;
    default:
      return `cannot listen on ${localAddress}:${port}: ${error.message}`;
  }
}
