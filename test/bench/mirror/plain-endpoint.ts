// A link's connections without TLS: what encryption costs can be measured only against this. Nothing outside of the bench imports it.
import net from 'node:net';
import type { createEndpoint, Endpoint, EndpointEvents, EndpointOptions } from '../../../drivers/link/endpoint.ts';

const RETRY_MS = 100;

export const createPlainEndpoint: typeof createEndpoint = (side, options, events) =>
  side === 'A' ? new Dialer(options, events) : new Listener(options, events);

class Dialer implements Endpoint {
  readonly #options: EndpointOptions;
  readonly #events: EndpointEvents;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EndpointOptions, events: EndpointEvents) {
    this.#options = options;
    this.#events = events;
  }

  open(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { localAddress, remoteAddress: host, port } = this.#options;
      const socket = net.connect({ host, port, localAddress });
      const failed = (): void => this.open(RETRY_MS);
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        this.#events.onSocket(socket);
      });
    }, delayMs);
  }

  shut(): void {
    clearTimeout(this.#timer);
  }
}

class Listener implements Endpoint {
  readonly #options: EndpointOptions;
  readonly #events: EndpointEvents;
  #server: net.Server | undefined;

  constructor(options: EndpointOptions, events: EndpointEvents) {
    this.#options = options;
    this.#events = events;
  }

  open(): void {
    if (this.#server) return;
    const { localAddress: host, port } = this.#options;
    this.#server = net.createServer((socket) => this.#events.onSocket(socket)).listen({ host, port });
    this.#server.on('error', (e) => this.#events.onProblem(e.message));
  }

  shut(): void {
    this.#server?.close();
    this.#server = undefined;
  }
}
