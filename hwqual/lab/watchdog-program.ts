// A CoServer's watchdog in the lab: a process of its own, which nothing in the CoServer can stop. It kills the CoServer's pid 1, and with
// it everything, when it was armed and not renewed in time. What it understands: drivers/watchdog/README.md.
//
//   watchdog-program.ts SOCKET     stdin: the pid to kill, one line, as soon as it is known; end of stdin: the lab is gone, and so is this
import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { MAX_LINE_CHARS, parseRequest, type StandInRequest } from '../../drivers/watchdog/index.ts';
import { identify, isAlive, type ProcessIdentity, stopTree } from './processes.ts';

class WatchdogClock {
  #target: ProcessIdentity | null = null;
  #holder: Socket | null = null;
  #timeoutMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #expired = false;

  setTarget(pid: number): void {
    this.#target = identify(pid);
    if (this.#expired) this.#fire();
  }

  hold(socket: Socket): boolean {
    if (this.#holder !== null) return false;
    this.#holder = socket;
    return true;
  }

  /** The clock goes on as it was: whoever holds it next may renew it. */
  release(socket: Socket): void {
    if (this.#holder === socket) this.#holder = null;
  }

  /** Answers the line to say; empty: none. */
  obey(request: StandInRequest): string {
    switch (request.kind) {
      case 'arm':
        this.#timeoutMs = request.timeoutMs;
        this.#begin();
        return `armed ${request.timeoutMs}`;
      case 'renew':
        if (this.#timer !== null) this.#begin();
        return '';
      case 'disarm':
        this.#stop();
        // Let go with the word, not with the end of the connection: the same program may come again at once.
        this.#holder = null;
        return 'disarmed';
      default:
        request satisfies never;
        return '';
    }
  }

  #begin(): void {
    this.#stop();
    this.#timer = setTimeout(() => {
      this.#expired = true;
      this.#fire();
    }, this.#timeoutMs);
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #fire(): void {
    const target = this.#target;
    if (target === null || !isAlive(target)) return;
    // All at once, as a reset does: no process sees another one die.
    const stopped = stopTree(target.pid);
    // Said first: whoever sees the end asks for the reason.
    process.stdout.write(`not renewed for ${this.#timeoutMs} ms: pid ${target.pid} killed, with ${stopped.length} processes\n`);
    process.kill(target.pid, 'SIGKILL');
  }
}

function serve(clock: WatchdogClock, socket: Socket): void {
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('close', () => clock.release(socket));
  const refuse = (why: string) => socket.end(`refused ${why}\n`);
  if (!clock.hold(socket)) {
    refuse('it is held by another connection');
    return;
  }
  let text = '';
  socket.on('data', (chunk: string) => {
    text += chunk;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
      const request = parseRequest(text.slice(0, at));
      text = text.slice(at + 1);
      if (request === null) {
        refuse('it knows: arm MILLISECONDS, renew, disarm');
        return;
      }
      const answer = clock.obey(request);
      if (answer !== '') socket.write(`${answer}\n`);
    }
    if (text.length > MAX_LINE_CHARS) refuse('a line is short');
  });
}

const path = process.argv[2];
if (path === undefined) throw new Error('the path of the socket is needed');
const clock = new WatchdogClock();
rmSync(path, { force: true });
const server = createServer((socket) => serve(clock, socket));
server.listen(path, () => process.stdout.write('ready\n'));
createInterface({ input: process.stdin })
  .on('line', (line) => clock.setTarget(Number(line)))
  .on('close', () => process.exit(0));
