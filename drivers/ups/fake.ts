// An upsd with one UPS, on a real socket: the test sets its variables, or what it answers instead.
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export class FakeUpsd {
  readonly variables = new Map<string, string>([['ups.status', 'OL']]);
  /** Answered to everything. */
  instead: string | null = null;
  /** Accepts and says nothing. */
  isSilent = false;
  reads = 0;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => {
      this.#open.add(socket);
      socket.setEncoding('utf8');
      socket.on('close', () => this.#open.delete(socket));
      socket.on('error', () => socket.destroy());
      socket.on('data', (text: string) => {
        for (const line of text.split('\n')) if (line !== '' && !this.isSilent) socket.write(this.#answer(line));
      });
    });
  }

  static async start(): Promise<FakeUpsd> {
    const upsd = new FakeUpsd();
    await new Promise<void>((resolve) => upsd.#server.listen(0, '127.0.0.1', resolve));
    return upsd;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(line: string): string {
    if (line === 'LOGOUT') return 'OK Goodbye\n';
    if (this.instead !== null) return this.instead;
    const [, ups, name] = /^GET VAR (\S+) (\S+)$/.exec(line) ?? [];
    if (ups === undefined || name === undefined) return 'ERR UNKNOWN-COMMAND\n';
    if (ups !== 'rack') return 'ERR UNKNOWN-UPS\n';
    if (name === 'ups.status') this.reads++;
    const value = this.variables.get(name);
    return value === undefined ? 'ERR VAR-NOT-SUPPORTED\n' : `VAR rack ${name} "${value.replace(/["\\]/g, '\\$&')}"\n`;
  }
}
