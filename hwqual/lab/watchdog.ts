// The hardware watchdog of one CoServer in the lab, from power-on to power-off: like a board's, it forgets everything without power.
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './lab-error.ts';
import { PLAIN_ENVIRONMENT } from './supervised.ts';

/** A small program starts in a fifth of a second; a machine that needs this long is not working. */
const START_TIMEOUT_MS = 20_000;

export class LabWatchdog {
  readonly #child: ChildProcess;
  readonly #path: string;
  #hasReset = false;

  private constructor(child: ChildProcess, path: string) {
    this.#child = child;
    this.#path = path;
  }

  /** Resolves when it listens. @param onReset Told in words when it has killed its CoServer. */
  static async start(path: string, onReset: (text: string) => void): Promise<LabWatchdog> {
    // Dies with us whatever ends us: it is killed, and its standard input ends.
    const program = [process.execPath, '--no-warnings', join(import.meta.dirname, 'watchdog-program.ts'), path];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...program], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: PLAIN_ENVIRONMENT,
    });
    child.stdin.on('error', () => undefined);
    let complaint = '';
    child.stderr.on('data', (d: Buffer) => {
      complaint = `${complaint}${d}`.slice(-2_000);
    });
    child.stdout.setEncoding('utf8');
    await new Promise<void>((resolve, reject) => {
      const failed = (why: string) => {
        child.kill('SIGKILL');
        reject(new LabError(`the watchdog at ${path} does not start: ${why}`));
      };
      const timer = setTimeout(() => failed(`nothing within ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS);
      child.once('error', (e) => failed(e.message));
      child.once('exit', (code) => failed(`exit ${code}: ${complaint.trim()}`));
      child.stdout.once('data', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    const watchdog = new LabWatchdog(child, path);
    child.stdout.on('data', (line: string) => {
      watchdog.#hasReset = true;
      onReset(line.trim());
    });
    return watchdog;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it kills: a pid of the host. */
  guard(pid: number): void {
    this.#child.stdin?.write(`${pid}\n`);
  }

  /** Answers whether it had reset its CoServer. */
  async close(): Promise<boolean> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      // With all that it has said.
      const ended = new Promise((resolve) => this.#child.once('close', resolve));
      this.#child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#path, { force: true });
    return this.#hasReset;
  }
}
