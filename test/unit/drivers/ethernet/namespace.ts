// Runs a test file again in a network namespace of its own, with a second one as the other end of a cable. Needs root.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MARK = 'TWINSTEP_TEST_NAMESPACE';

/** Answers only in the new namespace; in the outer process it runs the file there, passes its output on and exits with its code. */
export function enterNamespace(url: string): void {
  if (process.env[MARK]) return;
  const run = spawnSync(
    'setpriv',
    ['--pdeathsig=SIGKILL', 'unshare', '--net', '--', process.execPath, ...process.execArgv, fileURLToPath(url)],
    {
      env: { ...process.env, [MARK]: '1' },
      stdio: 'inherit',
    },
  );
  process.exit(run.status ?? 1);
}

export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** The other end: a namespace that lives as long as a sleeping process. */
export class OtherEnd {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async open(): Promise<OtherEnd> {
    const holder = spawn('setpriv', ['--pdeathsig=SIGKILL', 'unshare', '--net', 'sh', '-c', 'echo ready; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve, reject) => {
      holder.stdout.once('data', resolve);
      holder.once('exit', () => reject(new Error('no second namespace: root and unshare(1) are needed')));
    });
    return new OtherEnd(holder);
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  command(...args: string[]): [string, string[]] {
    return ['nsenter', ['-t', String(this.pid), '-n', '--', ...args]];
  }

  run(...args: string[]): string {
    const [file, rest] = this.command(...args);
    return execFileSync(file, rest, { encoding: 'utf8' });
  }

  spawn(...args: string[]): ChildProcess {
    const [file, rest] = this.command(...args);
    return spawn(file, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  }

  close(): void {
    this.#holder.kill('SIGKILL');
  }
}
