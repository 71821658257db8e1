// Makes a CoServer's web console reachable on a port of this machine: a browser's connection to 127.0.0.1 goes through a Unix
// socket into the management network's namespace, and from there to the CoServer. The machine's own network is not touched.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { LabError } from './lab-error.ts';
import { engineProgram, inNamespace } from './network.ts';
import { Supervised } from './supervised.ts';

/** Connections at once: a browser opens six, some tabs and scripts beside. */
const MAX_CONNECTIONS = 64;

export class WebForward {
  readonly port: number;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #socketPath = '';
  #socat: Supervised | null = null;

  private constructor(port: number, server: Server) {
    this.port = port;
    this.#server = server;
    server.maxConnections = MAX_CONNECTIONS;
    server.on('connection', (from) => this.#join(from));
  }

  /** Takes the port: the first thing a lab does, so that a port in use is found before anything is made. */
  static async listen(port: number): Promise<WebForward> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (e: NodeJS.ErrnoException) =>
        reject(
          e.code === 'EADDRINUSE'
            ? new LabError(
                `port ${port} of this machine (for a web console) is in use`,
                'choose another one: --port N (N for A, N+1 for B)',
              )
            : new LabError(`port ${port} of this machine (for a web console) cannot be used: ${e.message}`, 'choose another one: --port N'),
        ),
      );
      server.listen(port, '127.0.0.1', resolve);
    });
    return new WebForward(port, server);
  }

  /** Begins to forward, from `namespace` to `address`. */
  start(engineRoot: string, namespace: string, address: string, socketPath: string): void {
    this.#socketPath = socketPath;
    const [loader, args] = engineProgram(engineRoot, 'usr/bin/socat');
    const all = [
      ...args,
      `UNIX-LISTEN:${socketPath},fork,unlink-early,mode=600,max-children=${MAX_CONNECTIONS}`,
      `TCP4:${address},connect-timeout=5`,
    ];
    this.#socat = new Supervised(...inNamespace(namespace, loader, all), `${socketPath}.log`);
  }

  #join(from: Socket): void {
    const to = connect({ path: this.#socketPath, allowHalfOpen: true });
    for (const [socket, other] of [
      [from, to],
      [to, from],
    ] as const) {
      this.#open.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#socat?.close();
  }
}
