// A helper process of the lab that should run as long as the lab does: started again when it ends, its output kept in a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

/** Between two starts: a helper that cannot run must not eat the machine. */
const RESTART_MS = 500;

/** What runs for the lab sees nothing of the environment of whoever started it. */
export const PLAIN_ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' };

export class Supervised {
  readonly #command: string;
  readonly #args: readonly string[];
  readonly #logPath: string;
  #child: ChildProcess | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(command: string, args: readonly string[], logPath: string) {
    this.#command = command;
    this.#args = args;
    this.#logPath = logPath;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  #start(): void {
    const log = openSync(this.#logPath, 'a', 0o600);
    // A group of its own, so that Ctrl-C on the terminal is ours alone; it dies with the lab's process whatever ends that.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', this.#command, ...this.#args], {
      stdio: ['ignore', log, log],
      detached: true,
      env: PLAIN_ENVIRONMENT,
    });
    closeSync(log);
    this.#child = child;
    const ended = () => {
      if (this.#child !== child) return;
      this.#child = null;
      if (!this.#closed) this.#timer = setTimeout(() => this.#start(), RESTART_MS);
    };
    child.once('error', ended);
    child.once('exit', ended);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}
