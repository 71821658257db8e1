// One udhcpc (of busybox) for a port, started again when it ends. It talks to the server; what it is given is judged by the codec, and put
// onto the port here.
//
// The kernel is told how long an address is good for, and a route goes with its address: should this process be killed, neither outlives
// the lease.
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type DhcpEvent, type DhcpLease, NIC_NAME, parseLine, SCRIPT } from './codec.ts';

/** iproute2's `ip`; answers what it printed, rejects with a sentence. */
export type RunIp = (args: readonly string[]) => Promise<string>;

export interface DhcpOptions {
  /** A port that is up. */
  nic: string;
  /** For the script, on a file system that lets programs run; made if need be. Clients may share it. */
  folder: string;
  /** "busybox", by PATH, when left out. */
  busybox?: string;
  log: (sentence: string) => void;
  /** When the address or the router is another one, and with null when there is none any more. Not after close(). */
  onLease: (lease: DhcpLease | null) => void;
  ip?: RunIp;
  /** Before udhcpc is started again: it ended, or what it was given was refused. 5000 when left out. */
  restartPauseMs?: number;
}

export interface DhcpClient {
  /** Gives the lease back, ends udhcpc, takes address and route off the port. Never rejects for what a program says. */
  close(): Promise<void>;
}

const RESTART_PAUSE_MS = 5_000;
/** For a last word to the server. */
const KILL_AFTER_MS = 5_000;
const IP_TIMEOUT_MS = 10_000;
/** Behind every route that somebody set on purpose; the port's index keeps those of two ports apart. */
const METRIC_BASE = 700;
/** Each is logged once. A server that thinks of new nonsense each time does not fill a disk. */
const SENTENCES_MAX = 16;
const STDERR_MAX_CHARS = 2_000;
/** udhcpc is not among the programs of this busybox. */
const NO_SUCH_PROGRAM = 'code 127';

const execute = promisify(execFile);
const runIp: RunIp = async (args) => {
  try {
    return (await execute('ip', [...args], { timeout: IP_TIMEOUT_MS })).stdout;
  } catch (error) {
    const { code, stderr, message } = error as Error & { code?: unknown; stderr?: string };
    if (code === 'ENOENT') throw new Error('ip is missing here: install the package iproute2', { cause: error });
    throw new Error(`ip: ${stderr || message}`, { cause: error });
  }
};

type Udhcpc = ChildProcessByStdio<null, Readable, Readable>;

/** Throws RangeError for what cannot be the name of a port. Everything else goes to the log. */
export function startDhcp(options: DhcpOptions): DhcpClient {
  if (!NIC_NAME.test(options.nic)) throw new RangeError(`"${options.nic.slice(0, 40)}" is no name of a network port`);
  return new Client(options);
}

class Client implements DhcpClient {
  readonly #nic: string;
  readonly #options: DhcpOptions;
  readonly #ip: RunIp;
  readonly #closing = new AbortController();
  readonly #life: Promise<void>;
  readonly #said = new Set<string>();
  /** On the port, or perhaps: a command that failed may have done its work. */
  #held: DhcpLease | null = null;
  /** What onLease was told last. */
  #told: DhcpLease | null = null;

  constructor(options: DhcpOptions) {
    this.#nic = options.nic;
    this.#options = options;
    this.#ip = options.ip ?? runIp;
    this.#life = this.#live();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#life;
  }

  async #live(): Promise<void> {
    const { restartPauseMs = RESTART_PAUSE_MS } = this.#options;
    const { signal } = this.#closing;
    const script = join(this.#options.folder, `udhcpc-${this.#nic}.sh`);
    try {
      await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
      await writeFile(script, SCRIPT, { mode: 0o700 });
      await chmod(script, 0o700);
    } catch (error) {
      this.#say(`udhcpc's script cannot be written, so there is no DHCP here: ${messageOf(error)}`);
      return;
    }
    while (!signal.aborted) {
      const goesOn = await this.#runOnce(script);
      await this.#takeOff();
      this.#tell(null);
      if (!goesOn) return;
      await pause(restartPauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until udhcpc has ended. Answers whether to start it again. */
  async #runOnce(script: string): Promise<boolean> {
    const { busybox = 'busybox' } = this.#options;
    const { signal } = this.#closing;
    const child = spawn(busybox, udhcpcArguments(this.#nic, script), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH ?? '' },
    });
    const closed = new Promise<string>((resolve) => child.once('close', (code, by) => resolve(by ?? `code ${code}`)));
    try {
      await once(child, 'spawn');
    } catch (error) {
      const missing = ['ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '');
      this.#say(missing ? noDhcp(busybox) : `udhcpc cannot be started, it is tried again: ${messageOf(error)}`);
      return !missing;
    }
    child.on('error', () => undefined);
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-STDERR_MAX_CHARS);
    });
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      if (timer !== undefined) return;
      child.kill('SIGTERM');
      timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    };
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    await this.#listen(child, end);
    const how = await closed;
    signal.removeEventListener('abort', end);
    clearTimeout(timer);
    if (timer !== undefined) return true;
    if (how === NO_SUCH_PROGRAM) {
      this.#say(noDhcp(busybox));
      return false;
    }
    const last = words.trim().split('\n').at(-1) ?? '';
    this.#say(`udhcpc ended (${how}) and is started again${last === '' ? '' : `; it said: ${printable(last)}`}`);
    return true;
  }

  /** One event at a time: the next line is read when the port is as this one wants it. */
  async #listen(child: Udhcpc, end: () => void): Promise<void> {
    for await (const line of createInterface({ input: child.stdout })) {
      // An answer that is not used is given back, and another server may be the first to answer next time.
      if (!(await this.#obey(parseLine(line)))) end();
    }
  }

  /** False: this lease cannot be used. */
  async #obey(event: DhcpEvent): Promise<boolean> {
    switch (event.kind) {
      case 'deconfig':
        await this.#takeOff();
        this.#tell(null);
        return true;
      case 'refused':
        this.#say(`the DHCP server's answer is refused: ${event.reason}`);
        return false;
      case 'bound':
      case 'renew':
        if (this.#closing.signal.aborted) return true;
        if (event.routerRefused !== null) this.#say(`the DHCP server's router is not used: ${event.routerRefused}`);
        return this.#putOn(event.lease);
      case 'leasefail':
      case 'nak':
      case 'malformed':
        return true;
      default:
        return event satisfies never;
    }
  }

  async #putOn(lease: DhcpLease): Promise<boolean> {
    const { address, prefix, leaseS } = lease;
    if (this.#held !== null && !isSame(this.#held, lease)) await this.#takeOff();
    this.#held = lease;
    const seconds = String(leaseS);
    try {
      await this.#ip(['addr', 'replace', `${address}/${prefix}`, 'dev', this.#nic, 'valid_lft', seconds, 'preferred_lft', seconds]);
    } catch (error) {
      this.#say(`the address ${address}/${prefix} cannot be set: ${messageOf(error)}`);
      return false;
    }
    this.#tell((await this.#setRoute(lease)) ? lease : { ...lease, router: null });
    return true;
  }

  /** False: there is none. The address is of use all the same. */
  async #setRoute(lease: DhcpLease): Promise<boolean> {
    if (lease.router === null) return false;
    try {
      const metric = String(METRIC_BASE + (await this.#index()));
      const { address, router } = lease;
      const way = ['default', 'via', router, 'dev', this.#nic, 'proto', 'dhcp', 'src', address, 'metric', metric];
      await this.#ip(['route', 'replace', ...way]);
      return true;
    } catch (error) {
      this.#say(`the route by ${lease.router} cannot be set: ${messageOf(error)}`);
      return false;
    }
  }

  async #index(): Promise<number> {
    const line = await this.#ip(['-o', 'link', 'show', 'dev', this.#nic]);
    const index = /^(\d{1,9}): /.exec(line)?.[1];
    if (index === undefined) throw new Error(`ip does not know the port: ${printable(line.slice(0, 80))}`);
    return Number(index);
  }

  /** What is gone already (the lease ran out, the port was pulled) needs no word. */
  async #takeOff(): Promise<void> {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    if (held.router !== null) await this.#ip(['route', 'del', 'default', 'dev', this.#nic, 'proto', 'dhcp']).catch(() => '');
    await this.#ip(['addr', 'del', `${held.address}/${held.prefix}`, 'dev', this.#nic]).catch(() => '');
  }

  #tell(lease: DhcpLease | null): void {
    const isNews = this.#told === null || lease === null ? this.#told !== lease : !isSame(this.#told, lease);
    if (!isNews || this.#closing.signal.aborted) return;
    this.#told = lease;
    this.#options.onLease(lease);
  }

  #say(sentence: string): void {
    if (this.#said.has(sentence) || this.#said.size >= SENTENCES_MAX) return;
    this.#said.add(sentence);
    this.#options.log(`${this.#nic}: ${sentence}`);
  }
}

/** In the foreground for ever; on SIGTERM the lease is given back. Of what a server can tell, only what is needed is asked for. */
function udhcpcArguments(nic: string, script: string): string[] {
  const rounds = ['-t', '4', '-T', '3', '-A', '20'];
  return ['udhcpc', '-i', nic, '-f', '-R', '-s', script, ...rounds, '-o', '-O', 'subnet', '-O', 'router', '-x', 'hostname:twinstep'];
}

function isSame(a: DhcpLease, b: DhcpLease): boolean {
  return a.address === b.address && a.prefix === b.prefix && a.router === b.router;
}

function noDhcp(busybox: string): string {
  return `${busybox} with udhcpc is missing here, so there is no DHCP: install the package busybox-static, or set the address by hand`;
}

function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message.trim() : String(error)).slice(0, 300);
}

function printable(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[^\x20-\x7e]/g, '?');
}
