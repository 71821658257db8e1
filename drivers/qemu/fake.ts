// A monitor without an engine, faked at the byte: a real unix socket on which the real client's real parser runs.
import net from 'node:net';

export type FakeAnswer = { return: unknown } | { error: { class: string; desc: string } } | 'silence' | 'hang up';

export interface FakeCommand {
  how: 'execute' | 'exec-oob';
  name: string;
  args: unknown;
}

export class FakeMonitor {
  readonly path: string;
  readonly received: FakeCommand[] = [];
  /** Asked for every command but qmp_capabilities. */
  answer: (command: FakeCommand) => FakeAnswer = () => ({ return: {} });
  /** What is sent at once to whoever connects; undefined: nothing. */
  greeting: string | undefined = JSON.stringify({
    QMP: { version: { qemu: { major: 11, minor: 1, micro: 3 }, package: 'fake' }, capabilities: ['oob'] },
  });
  readonly #server: net.Server;
  readonly #clients = new Set<net.Socket>();

  constructor(path: string) {
    this.path = path;
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.path, resolve);
    });
  }

  event(name: string, data: object = {}): void {
    this.raw(`${JSON.stringify({ event: name, data, timestamp: { seconds: 1, microseconds: 500_000 } })}\r\n`);
  }

  raw(text: string): void {
    for (const client of this.#clients) client.write(text);
  }

  hangUp(): void {
    for (const client of this.#clients) client.destroy();
  }

  async close(): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: net.Socket): void {
    this.#clients.add(socket);
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('error', () => {});
    if (this.greeting !== undefined) socket.write(`${this.greeting}\r\n`);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) this.#command(socket, line);
    });
  }

  #command(socket: net.Socket, line: string): void {
    const message = JSON.parse(line) as Record<string, unknown>;
    const how = 'exec-oob' in message ? 'exec-oob' : 'execute';
    const command: FakeCommand = { how, name: String(message[how]), args: message.arguments };
    this.received.push(command);
    const answer: FakeAnswer = command.name === 'qmp_capabilities' ? { return: {} } : this.answer(command);
    if (answer === 'silence') return;
    if (answer === 'hang up') socket.destroy();
    else socket.write(`${JSON.stringify({ ...answer, id: message.id })}\r\n`);
  }
}
