// A busybox whose udhcpc says what the test tells it: the driver's own script runs with the values that a server could send, and says what
// it makes of them. It takes its orders from a socket, so that a test waits for nothing but what happens.
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Orders: {event, env} runs the script, {exit} ends it. On SIGTERM it says "term" and, unless told to be deaf, deconfig, and ends. */
const PROGRAM = `
const { spawnSync } = require('node:child_process');
const args = process.argv.slice(2);
const after = (option) => args[args.indexOf(option) + 1];
const socket = require('node:net').connect(require('node:path').join(__dirname, 'orders'));
const say = (message) => socket.write(JSON.stringify(message) + '\\n');
const run = (event, env) =>
  spawnSync(after('-s'), [event], { stdio: 'inherit', env: { PATH: process.env.PATH, interface: after('-i'), ...env } });
let isDeaf = false;
say({ kind: 'started', args, pid: process.pid });
require('node:readline').createInterface({ input: socket }).on('line', (line) => {
  const order = JSON.parse(line);
  if (order.deaf) isDeaf = true;
  if (order.event) run(order.event, order.env);
  if (order.words) process.stderr.write(order.words);
  if (order.exit !== undefined) process.exit(order.exit);
  say({ kind: 'done' });
});
process.on('SIGTERM', () => {
  say({ kind: 'term' });
  if (isDeaf) return;
  run('deconfig', {});
  socket.end(() => process.exit(0));
});
`;

export interface FakeUdhcpc {
  args: string[];
  pid: number;
  /** Resolves when the script has run. */
  say(event: string, env?: Record<string, string>): Promise<void>;
  /** SIGTERM does nothing from now on. */
  deafen(): Promise<void>;
  /** With words on standard error. */
  exit(code: number, words: string): void;
  /** It was sent SIGTERM, or has ended. */
  terminated: Promise<unknown>;
}

export class FakeBusybox {
  readonly folder = mkdtempSync(join(tmpdir(), 'twinstep-dhcp-'));
  readonly #server = createServer((socket) => this.#onSocket(socket));
  readonly #events = new EventEmitter();
  readonly #started: FakeUdhcpc[] = [];

  static async start(): Promise<FakeBusybox> {
    const fake = new FakeBusybox();
    writeFileSync(join(fake.folder, 'program.cjs'), PROGRAM);
    writeFileSync(fake.program, `#!/bin/sh\nexec '${process.execPath}' '${join(fake.folder, 'program.cjs')}' "$@"\n`, { mode: 0o755 });
    fake.#server.listen(join(fake.folder, 'orders'));
    await once(fake.#server, 'listening');
    return fake;
  }

  /** For the driver's option `busybox`. */
  get program(): string {
    return join(this.folder, 'busybox');
  }

  /** The next udhcpc that was started and not asked for yet. */
  async next(): Promise<FakeUdhcpc> {
    for (;;) {
      const udhcpc = this.#started.shift();
      if (udhcpc !== undefined) return udhcpc;
      await once(this.#events, 'started');
    }
  }

  close(): void {
    this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #onSocket(socket: Socket): void {
    const said = new EventEmitter();
    const order = (what: object): void => void socket.write(`${JSON.stringify(what)}\n`);
    const obeyed = async (what: object): Promise<void> => {
      const done = once(said, 'done');
      order(what);
      await done;
    };
    // Killed, it hangs up rudely.
    socket.on('error', () => undefined);
    socket.on('close', () => said.emit('term'));
    createInterface({ input: socket }).on('line', (line) => {
      const message = JSON.parse(line) as { kind: string; args: string[]; pid: number };
      said.emit(message.kind);
      if (message.kind !== 'started') return;
      this.#started.push({
        args: message.args,
        pid: message.pid,
        say: (event, env = {}) => obeyed({ event, env }),
        deafen: () => obeyed({ deaf: true }),
        exit: (exit, words) => order({ words, exit }),
        terminated: once(said, 'term'),
      });
      this.#events.emit('started');
    });
  }
}
