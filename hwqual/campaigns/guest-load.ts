// The load inside the guest (../lab/guest/load.c) as a campaign asks it: one TCP connection for the whole campaign. That it lasts is
// itself part of the proof: a guest that was started again has no such connection.
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { GUEST_TARGET } from '../lab/clients/controller.ts';

const LOAD_PORT = 9011;
/** To freeze the guest must write all it has, emulated on a busy machine, perhaps while its disk waits for the partner. */
const ANSWER_TIMEOUT_MS = 60_000;

export interface LoadJob {
  name: string;
  /** Each wrote all its file and read all of it back without an error. */
  passes: number;
  writtenKiB: number;
  checkedKiB: number;
  /** Empty: none. What fio said first otherwise; the job does nothing more. */
  failure: string;
}

export interface LoadStatus {
  jobs: LoadJob[];
  /** Errors of the kernel, of the disk and of the file systems: how many, and the first ones. */
  complaintCount: number;
  complaints: string[];
}

export interface GuestLoad {
  /** All is on the disk and nothing more is written, fio waits. */
  freeze(): Promise<void>;
  /** The same, fio ended and the file systems as after an unmount: a check finds nothing to do. */
  rest(): Promise<void>;
  thaw(): Promise<void>;
  status(): Promise<LoadStatus>;
  close(): Promise<void>;
}

/** The load, asked for what takes space and gives it back. */
export interface FillingLoad extends GuestLoad {
  /** A file of so many MiB that cannot be packed, on each of fio's file systems, durable. */
  fill(mib: number): Promise<void>;
  /** Removes these files and gives all that is free back to the disk, as fstrim does. Answers the bytes. */
  trim(): Promise<number>;
}

export function parseLoadStatus(line: string): LoadStatus {
  const value: Partial<LoadStatus> = JSON.parse(line);
  const { jobs, complaintCount, complaints } = value;
  if (!Array.isArray(jobs) || complaintCount === undefined || !Array.isArray(complaints))
    throw new Error(`the guest's load answered ${line.slice(0, 200)}`);
  return { jobs, complaintCount, complaints };
}

export class GuestLoadConnection implements FillingLoad {
  readonly #child: ChildProcess;
  readonly #answers: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  #ended: string | null = null;
  #said = '';

  /** @param spawn Runs a command inside the LAN, with stdin, stdout and stderr as pipes. */
  constructor(spawn: (command: string[]) => ChildProcess) {
    const program = join(import.meta.dirname, '../lab/clients/pipe.ts');
    this.#child = spawn([process.execPath, '--no-warnings', program, GUEST_TARGET.ipv4, String(LOAD_PORT)]);
    const { stdout, stderr, stdin } = this.#child;
    if (stdout === null || stderr === null || stdin === null) throw new Error('the load needs pipes for stdin, stdout and stderr');
    createInterface({ input: stdout }).on('line', (line) => this.#answers.shift()?.resolve(line));
    stderr.on('data', (text: Buffer) => {
      this.#said = `${this.#said}${text}`.slice(-1000);
    });
    stdin.on('error', () => undefined);
    this.#child.once('error', (error) => this.#end(error.message));
    this.#child.once('close', () => this.#end(this.#said.trim()));
  }

  #end(why: string): void {
    this.#ended ??= `the connection to the guest's load has ended: ${why}`;
    for (const { reject } of this.#answers.splice(0)) reject(new Error(this.#ended));
  }

  async #ask(request: string): Promise<string> {
    if (this.#ended !== null) throw new Error(this.#ended);
    let timer: NodeJS.Timeout | undefined;
    const line = await new Promise<string>((resolve, reject) => {
      // An answer that comes later would be taken for the next one: the connection is of no use any more.
      timer = setTimeout(() => {
        this.#end(`no answer to "${request}" within ${ANSWER_TIMEOUT_MS / 1000} s`);
        this.#child.kill();
      }, ANSWER_TIMEOUT_MS);
      this.#answers.push({ resolve, reject });
      this.#child.stdin?.write(`${request}\n`);
    }).finally(() => clearTimeout(timer));
    if (line.startsWith('error ')) throw new Error(`the guest's load: ${request}: ${line.slice(6)}`);
    return line;
  }

  freeze = async (): Promise<void> => void (await this.#ask('freeze'));
  rest = async (): Promise<void> => void (await this.#ask('rest'));
  thaw = async (): Promise<void> => void (await this.#ask('thaw'));
  fill = async (mib: number): Promise<void> => void (await this.#ask(`fill ${mib}`));
  trim = async (): Promise<number> => {
    const line = await this.#ask('trim');
    const bytes = /^ok (\d+)$/.exec(line)?.[1];
    if (bytes === undefined) throw new Error(`the guest's load answered ${line.slice(0, 200)}`);
    return Number(bytes);
  };
  status = async (): Promise<LoadStatus> => parseLoadStatus(await this.#ask('status'));

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin?.end();
    await closed;
  }
}
