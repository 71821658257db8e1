// Two servers that are set up, each `twinstep setup` in a network namespace of its own with four ports, a pty as its serial line, and somebody who
// reads the screen and types.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineProgram } from '../../hwqual/lab/network.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { Terminal } from '../unit/appliance/console/serial/terminal.ts';
import { ip, type OtherEnd } from '../unit/drivers/ethernet/namespace.ts';

const MAIN = new URL('../../appliance/main.ts', import.meta.url).pathname;
/** Nothing is concluded from time: a busy machine needs many times what an idle one does. */
const PATIENCE_MS = 240_000;
export const PORTS = [1, 2, 3, 4];

export type Name = 'A' | 'B';
/** One end of a cable: "A1" is port 1 of A. */
export type End = `${Name}${number}`;

/** Plugs the cables in, after all others were pulled out. Ends that are not named have a port that leads nowhere. */
export function cable(b: OtherEnd, cables: readonly (readonly [End, End])[]): void {
  for (const n of PORTS) {
    for (const end of [`A${n}`, `B${n}`] as const) {
      const name = nicOf(end);
      if (has(b, end)) inside(b, end, 'link', 'del', name);
    }
  }
  const used = new Set<string>();
  for (const [x, y] of cables) {
    ip('link', 'add', 'tmp-x', 'type', 'veth', 'peer', 'name', 'tmp-y');
    plug(b, 'tmp-x', x);
    plug(b, 'tmp-y', y);
    used.add(x).add(y);
  }
  for (const n of PORTS)
    for (const end of [`A${n}`, `B${n}`] as const) {
      if (used.has(end)) continue;
      // Its other end is not up: no carrier.
      ip('link', 'add', 'tmp-x', 'type', 'veth', 'peer', 'name', `dark-${end.toLowerCase()}`);
      plug(b, 'tmp-x', end);
    }
}

export const nicOf = (end: End): string => `port${end.slice(1)}`;

/** A port keeps its address whatever is plugged into it. */
function plug(b: OtherEnd, nic: string, end: End): void {
  ip('link', 'set', nic, 'address', `52:54:00:00:${end.startsWith('A') ? 'aa' : 'bb'}:0${end.slice(1)}`);
  if (end.startsWith('B')) {
    ip('link', 'set', nic, 'name', `b-${nicOf(end)}`, 'netns', String(b.pid));
    b.run('ip', 'link', 'set', `b-${nicOf(end)}`, 'name', nicOf(end));
  } else ip('link', 'set', nic, 'name', nicOf(end));
}

function has(b: OtherEnd, end: End): boolean {
  return inside(b, end, '-o', 'link', 'show').includes(` ${nicOf(end)}@`);
}

/** The program ip, in the server's namespace. */
export function inside(b: OtherEnd, end: string, ...args: string[]): string {
  return end.startsWith('B') ? b.run('ip', ...args) : ip(...args);
}

/** A server that is being set up, and its screen. */
export class Server {
  readonly name: Name;
  readonly folder: string;
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;
  /** What it has said in its log. */
  log = '';
  readonly #pty: ChildProcess;
  readonly #terminal = new Terminal();
  #pending = '';
  #looks: (() => void)[] = [];
  /** Screens as they were read, for whoever wants to see them. */
  readonly seen: string[] = [];

  private constructor(name: Name, folder: string, pty: ChildProcess, child: ChildProcess) {
    this.name = name;
    this.folder = folder;
    this.#pty = pty;
    this.process = child;
    pty.stdout?.setEncoding('latin1').on('data', (text: string) => this.#received(text));
    for (const output of [child.stdout, child.stderr])
      output?.setEncoding('utf8').on('data', (text: string) => {
        this.log += text;
        this.#look();
      });
    this.ended = new Promise((resolve) => {
      child.once('exit', (code) => {
        resolve(code);
        this.#look();
      });
    });
  }

  static async start(
    name: Name,
    folder: string,
    b: OtherEnd,
    { program = MAIN, more = [] }: { program?: string; more?: readonly string[] } = {},
  ): Promise<Server> {
    const state = join(folder, 'state');
    mkdirSync(state, { recursive: true });
    const line = join(folder, 'serial');
    const [loader, args] = engineProgram(process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath(), 'usr/bin/socat');
    const pty = spawn('setpriv', ['--pdeathsig=SIGKILL', loader, ...args, `PTY,link=${line},raw,echo=0,wait-slave`, 'STDIO'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    while (!existsSync(line)) {
      if (pty.exitCode !== null || pty.signalCode !== null)
        throw new Error(`no serial line: socat ended with ${pty.exitCode ?? pty.signalCode}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const nics = PORTS.map((n) => `port${n}`).join(',');
    const command = [
      process.execPath,
      '--no-warnings',
      program,
      'setup',
      '--state',
      state,
      '--run',
      join(folder, 'run'),
      '--console',
      line,
      '--nics',
      nics,
      ...more,
    ];
    const [file = '', rest] = name === 'A' ? [command[0], command.slice(1)] : b.command(...command);
    const child = spawn('setpriv', ['--pdeathsig=SIGKILL', file, ...rest], { stdio: ['ignore', 'pipe', 'pipe'] });
    return new Server(name, folder, pty, child);
  }

  /** A sequence may be cut between two chunks: it waits for its end. */
  #received(text: string): void {
    this.#pending += text;
    const open = this.#pending.lastIndexOf('\u001b');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
    const isWhole = open < 0 || /^\u001b\[[?0-9;]*[A-Za-z]/.test(this.#pending.slice(open));
    const whole = isWhole ? this.#pending : this.#pending.slice(0, open);
    this.#pending = isWhole ? '' : this.#pending.slice(open);
    // Behind the last screen the terminal is left in order.
    if (!whole.includes('\r\n')) this.#terminal.write(whole);
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#looks]) look();
  }

  screen(): string[] {
    return this.#terminal.cells.map((row) =>
      row
        .map((c) => c.char)
        .join('')
        .trimEnd(),
    );
  }

  text(): string {
    return this.screen()
      .map((r) => r.trim())
      .join(' ')
      .replace(/ +/g, ' ');
  }

  /** Answers when the screen, as one line, fits. */
  until(pattern: RegExp): Promise<RegExpMatchArray> {
    return this.#when(pattern, () => this.text());
  }

  untilLog(pattern: RegExp): Promise<RegExpMatchArray> {
    return this.#when(pattern, () => this.log);
  }

  #when(pattern: RegExp, text: () => string): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const done = (finish: () => void) => {
        clearTimeout(timer);
        this.#looks = this.#looks.filter((l) => l !== look);
        finish();
      };
      const fail = (why: string) =>
        done(() => reject(new Error(`${this.name}: ${why}: ${pattern}\n${this.screen().join('\n')}\n${this.log}`)));
      const timer = setTimeout(() => fail('it did not come'), PATIENCE_MS);
      const look = () => {
        const found = text().match(pattern);
        if (found) {
          this.seen.push(this.screen().join('\n'));
          done(() => resolve(found));
        } else if (this.process.exitCode !== null || this.process.signalCode !== null) fail('it has ended');
      };
      this.#looks.push(look);
      look();
    });
  }

  type(text: string): void {
    this.#pty.stdin?.write(text, 'latin1');
  }

  /** Waits for a page, then types. */
  async at(pattern: RegExp, text: string): Promise<void> {
    await this.until(pattern);
    this.type(text);
  }

  file(path: string): string {
    return readFileSync(join(this.folder, 'state', path), 'utf8');
  }

  async kill(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.ended;
    this.#pty.kill('SIGKILL');
  }
}

/** Does what init of the image does with the file `nics`. */
export function nameNics(b: OtherEnd, name: Name, text: string): void {
  for (const line of text.trim().split('\n')) {
    const [role = '', mac = '', address = '-'] = line.split(' ');
    const port = PORTS.find((n) => mac.endsWith(`:0${n}`));
    const nic = `port${port}`;
    inside(b, name, 'link', 'set', nic, 'down');
    inside(b, name, 'link', 'set', nic, 'name', role);
    if (address !== '-') inside(b, name, 'addr', 'add', address, 'dev', role);
    inside(b, name, 'link', 'set', role, 'up');
  }
}

/** `twinstep run` with what was written, without a browser's page. */
export function run(b: OtherEnd, server: Server): { child: ChildProcess; said: () => string } {
  for (const folder of ['log', 'disks']) mkdirSync(join(server.folder, 'state', folder), { recursive: true });
  const path = join(server.folder, 'state/config.yaml');
  writeFileSync(
    path,
    readFileSync(path, 'utf8')
      .replace('port: 443', 'port: 0')
      .replace(/serial: .*/, 'serial: ""'),
  );
  const command = [process.execPath, '--no-warnings', MAIN, 'run', '--config', path];
  const [file = '', rest] = server.name === 'A' ? [command[0], command.slice(1)] : b.command(...command);
  const child = spawn('setpriv', ['--pdeathsig=SIGKILL', file, ...rest], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const output of [child.stdout, child.stderr])
    output?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  return { child, said: () => said };
}
