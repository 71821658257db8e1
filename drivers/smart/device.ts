// Starts smartctl, one at a time for each disk. A disk that does not answer leaves smartctl in the kernel where no signal reaches it: the
// reading is given up in time, and the disk is not asked again before that process is gone, so that they do not pile up.
import { type ChildProcess, spawn } from 'node:child_process';
import { decodeSmart, OUTPUT_MAX_BYTES, smartctlArguments } from './codec.ts';
import { SmartError, type SmartReading } from './types.ts';

export interface SmartOptions {
  /** Default "smartctl", by PATH. */
  program?: string;
  /** For one disk; 20 000 when left out: a disk that repairs itself may take seconds for each of the ten commands. */
  timeoutMs?: number;
}

export interface SmartDisk {
  /** "/dev/sda", "/dev/nvme0". */
  path: string;
  /** smartctl's -d: "megaraid,3". Left out: it finds out. */
  type?: string;
}

const TIMEOUT_MS = 20_000;

export class Smart {
  readonly #program: string;
  readonly #timeoutMs: number;
  /** By disk; a process stays here until it is gone, however long after the reading was given up. */
  readonly #running = new Map<string, ChildProcess>();

  constructor({ program = 'smartctl', timeoutMs = TIMEOUT_MS }: SmartOptions = {}) {
    this.#program = program;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with SmartError. */
  async read({ path, type }: SmartDisk): Promise<SmartReading> {
    const args = smartctlArguments(path, type ?? null);
    const key = args.slice(6).join(' ');
    if (this.#running.has(key))
      throw new SmartError('busy', `an earlier smartctl on ${path} has not ended: the disk does not answer; look at the kernel's log`);
    return decodeSmart(await this.#run(key, path, args), path);
  }

  /** How many processes have not ended. */
  get running(): number {
    return this.#running.size;
  }

  /** Kills what runs; what was being read rejects. */
  close(): void {
    for (const child of this.#running.values()) child.kill('SIGKILL');
  }

  #run(key: string, disk: string, args: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.#program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' } });
      this.#running.set(key, child);
      const chunks: Buffer[] = [];
      let bytes = 0;
      const giveUp = (error: SmartError): void => {
        clearTimeout(timer);
        reject(error);
        child.kill('SIGKILL');
        // Hanging in the kernel, it must not keep this process from ending.
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
      };
      const timer = setTimeout(
        () => giveUp(new SmartError('timeout', `${disk} did not answer smartctl within ${this.#timeoutMs} ms: the disk or its link hangs`)),
        this.#timeoutMs,
      );
      child.stdout.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > OUTPUT_MAX_BYTES)
          giveUp(
            new SmartError('garbage', `smartctl prints more than ${OUTPUT_MAX_BYTES} bytes about ${disk}: is ${this.#program} smartctl?`),
          );
        else chunks.push(chunk);
      });
      child.stderr.resume();
      child.on('error', (cause: NodeJS.ErrnoException) => {
        if (child.pid === undefined) this.#running.delete(key);
        giveUp(notStarted(this.#program, cause));
      });
      child.on('exit', () => this.#running.delete(key));
      child.on('close', (_code, signal) => {
        clearTimeout(timer);
        if (signal === null) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(new SmartError('unreadable', `smartctl on ${disk} was ended by ${signal}: it will be asked again`));
      });
    });
  }
}

function notStarted(program: string, cause: NodeJS.ErrnoException): SmartError {
  if (cause.code === 'ENOENT') return new SmartError('missing', `there is no ${program}: install smartmontools (7.0 or newer)`, { cause });
  if (cause.code === 'EACCES') return new SmartError('missing', `${program} may not be started: is it executable?`, { cause });
  return new SmartError('missing', `${program} cannot be started: ${cause.message}`, { cause });
}
