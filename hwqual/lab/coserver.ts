// One CoServer of the lab while it has power: its namespaces, its pid 1, and the signals that stop it.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { DISK_FAULTS_FILE, makeFaultFile } from './disk-faults.ts';
import { LabError } from './lab-error.ts';
import { continueTree, firstChild, processTree, stopTree } from './processes.ts';
import { coServerPaths, type LabSettings, labPaths } from './settings.ts';
import { PLAIN_ENVIRONMENT } from './supervised.ts';

/** Mounting takes a tenth of a second; a machine that needs this long is not working. */
const START_TIMEOUT_MS = 30_000;
/** Error text kept of a start that fails. */
const MAX_ERROR_BYTES = 16 * 1024;

export interface CoServerParts {
  settings: LabSettings;
  name: CoServerName;
  engineRoot: string;
  nodeBinary: string;
  /** The pts that is its serial port. */
  serial: string;
}

export type Frozen = 'no' | 'process' | 'all';

export class CoServer {
  readonly name: CoServerName;
  readonly #parts: CoServerParts;
  readonly #shell: ChildProcess;
  /** Of the host. */
  readonly pid1: number;
  readonly ended: Promise<void>;
  frozen: Frozen = 'no';

  private constructor(parts: CoServerParts, shell: ChildProcess, pid1: number, ended: Promise<void>) {
    this.#parts = parts;
    this.name = parts.name;
    this.#shell = shell;
    this.pid1 = pid1;
    this.ended = ended;
  }

  /** The process that holds the namespaces' pid 1: it ends with it. */
  get holderPid(): number {
    return this.#shell.pid ?? 0;
  }

  /** Resolves when pid 1 runs the product's supervisor. The network namespace must exist. */
  static async start(parts: CoServerParts): Promise<CoServer> {
    const { settings, name } = parts;
    const paths = coServerPaths(settings, name);
    // What a power failure empties.
    rmSync(paths.run, { recursive: true, force: true });
    for (const directory of [paths.root, paths.run, paths.undo, paths.state, paths.disks, paths.log])
      mkdirSync(directory, { recursive: true });
    for (const directory of [paths.run, paths.state, paths.disks, paths.undo]) chmodSync(directory, 0o700);
    makeFaultFile(join(paths.undo, DISK_FAULTS_FILE));
    const script = join(labPaths(settings).tools, 'mount.sh');
    const unshare = ['--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--', 'sh', script];
    const args = [parts.engineRoot, join(settings.directory, name), settings.directory, parts.nodeBinary, name.toLowerCase(), parts.serial];
    // Dies with the lab's own process, whatever ends that.
    const command = [
      '--pdeathsig',
      'KILL',
      '--',
      'nsenter',
      `--net=/run/netns/${settings.namespaces[name]}`,
      '--',
      'unshare',
      ...unshare,
      ...args,
    ];
    const shell = spawn('setpriv', command, { stdio: ['ignore', 'ignore', 'pipe'], detached: true, env: PLAIN_ENVIRONMENT });
    let said = '';
    shell.stderr.on('data', (d: Buffer) => {
      if (said.length < MAX_ERROR_BYTES) said += d;
    });
    const ended = new Promise<void>((resolve, reject) => {
      shell.once('error', reject);
      shell.once('exit', () => resolve());
    });
    await awaitFile(
      join(paths.run, 'started'),
      ended,
      () => new LabError(`CoServer ${name} does not start: ${said.trim() || 'no reason given'}`),
    );
    const pid1 = firstChild(shell.pid ?? 0);
    if (pid1 === undefined) throw new LabError(`CoServer ${name} ended as soon as it had started: ${said.trim()}`);
    return new CoServer(parts, shell, pid1, ended);
  }

  /** First of two steps of a power failure: nothing of it runs any more. Answers how many processes were stopped. */
  stopAll(): number {
    return stopTree(this.pid1).length;
  }

  /** The second, once its cables are dead: the processes end, what they say while ending goes nowhere. */
  async kill(): Promise<void> {
    try {
      process.kill(this.pid1, 'SIGKILL');
    } catch {
      // It is gone already.
    }
    await this.ended;
  }

  freeze(what: 'process' | 'all'): void {
    if (what === 'all') stopTree(this.pid1);
    else {
      const product = this.product();
      if (product === undefined)
        throw new LabError(`the product's process on ${this.name} does not run now`, `npm run lab -- logs ${this.name}`);
      process.kill(product, 'SIGSTOP');
    }
    this.frozen = what;
  }

  thaw(): void {
    continueTree(this.pid1);
    this.frozen = 'no';
  }

  /** The host's pid of the product's process; undefined while it is being started again. */
  product(): number | undefined {
    let inside: number;
    try {
      inside = Number(readFileSync(join(coServerPaths(this.#parts.settings, this.name).run, 'product.pid'), 'utf8'));
    } catch {
      return undefined;
    }
    return processTree(this.pid1).find((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        return Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1]) === inside;
      } catch {
        return false;
      }
    });
  }

  /** Arguments for nsenter that put a command where the CoServer's own programs run. */
  static enter(pid1: number): string[] {
    return ['-t', String(pid1), '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd', '--'];
  }
}

/** Waits for a file that a starting process makes as its first act. */
async function awaitFile(path: string, ended: Promise<void>, failed: () => Error): Promise<void> {
  const directory = join(path, '..');
  await new Promise<void>((resolve, reject) => {
    const look = () => {
      if (readdirSync(directory).includes(path.slice(directory.length + 1))) finish(resolve);
    };
    const watcher = watch(directory, look);
    const timer = setTimeout(() => finish(() => reject(failed())), START_TIMEOUT_MS);
    const finish = (then: () => void) => {
      clearTimeout(timer);
      watcher.close();
      then();
    };
    ended.then(
      () => finish(() => reject(failed())),
      (e: unknown) => finish(() => reject(e instanceof Error ? e : new Error(String(e)))),
    );
    look();
  });
}
