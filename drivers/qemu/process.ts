// The life of one engine process: started detached, so that it survives a restart of ours, and adopted again by its pid file.
//
// The pid file names the process beyond doubt: pid, its start time and the kernel's boot. A pid alone may have been given to
// another program since; we would watch, or kill, a stranger.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';

export interface EngineExit {
  /** Unknown (undefined) for an adopted engine: only its parent is told. */
  code: number | undefined;
  signal: string | undefined;
  /** The last lines the engine wrote. */
  logTail: string;
}

export interface EngineStart {
  /** The engine's binary, if need be with a command before it that ends by exec (chroot ...): the pid must stay the same. */
  command: string[];
  args: string[];
  pidFile: string;
  /** Standard output and error, appended. */
  logPath: string;
}

type Ended = Pick<EngineExit, 'code' | 'signal'>;

export class EngineError extends Error {
  override name = 'EngineError';
}

interface PidRecord {
  pid: number;
  /** Clock ticks since the kernel's boot: field 22 of /proc/PID/stat. */
  startTicks: string;
  bootId: string;
  logPath: string;
  /** Where this engine's own lines begin. */
  logFrom: number;
}

/** An adopted engine is not our child: the only way without a native addon to see it end is to look. */
const ADOPTED_POLL_MS = 100;
const LOG_TAIL_BYTES = 4096;
const LOG_TAIL_LINES = 8;

export class EngineProcess {
  readonly pid: number;
  /** Resolves when the engine has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<EngineExit>;
  readonly #record: PidRecord;
  readonly #pidFile: string;
  #exit: EngineExit | undefined;

  private constructor(record: PidRecord, pidFile: string, ended: Promise<Ended>) {
    this.pid = record.pid;
    this.#record = record;
    this.#pidFile = pidFile;
    this.exited = ended.then(async ({ code, signal }) => {
      this.#exit = { code, signal, logTail: await tail(record.logPath, record.logFrom) };
      await removeIfOf(record, pidFile);
      return this.#exit;
    });
  }

  /** Throws EngineError when the program cannot be started. An engine that ends at once is seen by `exited`. */
  static async start(options: EngineStart): Promise<EngineProcess> {
    const [program, ...before] = options.command;
    if (program === undefined) throw new EngineError('engine: no command given');
    const log = openSync(options.logPath, 'a', 0o640);
    const logFrom = fstatSync(log).size;
    let child: ChildProcess;
    try {
      child = spawn(program, [...before, ...options.args], { detached: true, stdio: ['ignore', log, log] });
    } finally {
      closeSync(log);
    }
    const ended = new Promise<Ended>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(new EngineError(`engine: cannot start ${program}: ${error.message}`)));
    });
    child.unref();
    const pid = child.pid;
    if (pid === undefined) throw new EngineError(`engine: ${program} has no process id`);
    const startTicks = await processStartTicks(pid);
    // A process that is gone already has no start time; nobody will look for it by this record.
    const record = { pid, startTicks: startTicks ?? '0', bootId: await bootId(), logPath: options.logPath, logFrom };
    await writeFile(`${options.pidFile}.new`, `${JSON.stringify(record)}\n`, { mode: 0o640 });
    await rename(`${options.pidFile}.new`, options.pidFile);
    return new EngineProcess(record, options.pidFile, ended);
  }

  /** The running engine that `pidFile` names; undefined when there is none (any more): the stale file is removed. */
  static async adopt(pidFile: string): Promise<EngineProcess | undefined> {
    const record = await readRecord(pidFile);
    if (!record) return undefined;
    if (!(await isAlive(record))) {
      await rm(pidFile, { force: true });
      return undefined;
    }
    return new EngineProcess(record, pidFile, watch(record));
  }

  get exit(): EngineExit | undefined {
    return this.#exit;
  }

  get pidFile(): string {
    return this.#pidFile;
  }

  /** Ends the engine without asking the guest; answers when it has ended. */
  async kill(): Promise<EngineExit> {
    // Watching an engine does not keep our process alive; waiting for its end here does.
    const hold = setInterval(() => {}, 1000);
    if (!this.#exit && (await isAlive(this.#record))) {
      try {
        process.kill(this.pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    return this.exited.finally(() => clearInterval(hold));
  }
}

/** "exit code 1: qemu-system-x86_64: -netdev ...: ...": for errors and the event log. */
export function describeExit(exit: EngineExit): string {
  const how = exit.signal ? `signal ${exit.signal}` : exit.code === undefined ? 'ended (code unknown: adopted)' : `exit code ${exit.code}`;
  return exit.logTail ? `${how}; its last lines: ${exit.logTail}` : how;
}

async function readRecord(pidFile: string): Promise<PidRecord | undefined> {
  let text: string;
  try {
    text = await readFile(pidFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { pid, startTicks, bootId, logPath, logFrom } = JSON.parse(text) as Record<string, unknown>;
    if (typeof pid === 'number' && pid > 1 && typeof startTicks === 'string' && typeof bootId === 'string' && typeof logPath === 'string') {
      return { pid, startTicks, bootId, logPath, logFrom: typeof logFrom === 'number' ? logFrom : 0 };
    }
  } catch {
    // falls through to the error below
  }
  throw new EngineError(`engine: ${pidFile} is no pid file of ours: if no engine runs, remove it`);
}

/** The file may name a later engine by now. */
async function removeIfOf(record: PidRecord, pidFile: string): Promise<void> {
  try {
    const present = await readRecord(pidFile);
    if (present?.pid === record.pid && present.startTicks === record.startTicks) await rm(pidFile, { force: true });
  } catch {
    // Not ours, or not readable: `adopt` will say so.
  }
}

async function isAlive(record: PidRecord): Promise<boolean> {
  return (await bootId()) === record.bootId && (await processStartTicks(record.pid)) === record.startTicks;
}

async function watch(record: PidRecord): Promise<Ended> {
  while (await isAlive(record)) {
    await new Promise((resolve) => setTimeout(resolve, ADOPTED_POLL_MS).unref());
  }
  return { code: undefined, signal: undefined };
}

/** Undefined: no such process, or only its entry is left (a zombie has ended). */
async function processStartTicks(pid: number): Promise<string | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // pid (name) state ...: the name may hold anything, also ") ".
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

async function tail(path: string, from: number): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.max(0, Math.min(size - from, LOG_TAIL_BYTES));
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').slice(-LOG_TAIL_LINES).join(' | ');
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
