// Runs a command to its end. Errors name the command, how it ended and what it said.
import { spawn } from 'node:child_process';
import { LabError } from './lab-error.ts';

/** Output kept of a command; what is beyond is cut: nothing the lab runs says more than a page. */
const MAX_OUTPUT_BYTES = 1 << 20;

export interface CommandOptions {
  input?: string;
  timeoutMs?: number;
  env?: Record<string, string>;
}

/** Answers stdout. Throws a LabError when the command is missing, fails or takes longer than timeoutMs (default 30 s). */
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const text = [command, ...args].join(' ');
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.env ? { env: { ...process.env, ...options.env } } : {}),
    });
    let out = '';
    let err = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (s: string) => {
      if (out.length < MAX_OUTPUT_BYTES) out += s;
    });
    child.stderr.setEncoding('utf8').on('data', (s: string) => {
      if (err.length < MAX_OUTPUT_BYTES) err += s;
    });
    child.once('error', (e: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(
        e.code === 'ENOENT'
          ? new LabError(`the command ${command} is not installed`, missing(command))
          : new LabError(`${text}: ${e.message}`),
      );
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(out);
      else if (timedOut) reject(new LabError(`${text}: no end after ${timeoutMs} ms${err === '' ? '' : `: ${err.trim()}`}`));
      else reject(new LabError(`${text}: ${code === null ? `killed by ${signal}` : `exit ${code}`}: ${(err || out).trim()}`));
    });
    // A command that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

function missing(command: string): string {
  const packages: Record<string, string> = {
    ip: 'iproute2',
    gcc: 'gcc libc6-dev',
    nsenter: 'util-linux',
    unshare: 'util-linux',
    setpriv: 'util-linux',
  };
  const found = packages[command];
  return found === undefined ? '' : `install it: apt-get install ${found}`;
}
