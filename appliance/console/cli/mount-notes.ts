// What belongs to the mount of a restore point, noted before it is made: so that whoever comes next can take down what a crash left standing.
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from './programs.ts';

export const ENGINE = 'qemu-storage-daemon';
const SUFFIX = '.mount.json';
/** The process that ends writes nothing more: it is only waited for. */
const END_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 20;

export interface MountNote {
  point: string;
  /** Where its files are seen. */
  directory: string;
  /** Who is making it; null: it is made. */
  maker: ProcessName | null;
}

/** Numbers are given again: a process is its number and when it was started, in clock ticks since boot. */
interface ProcessName {
  pid: number;
  startedAt: string;
}

/** The files of one mount; all have the point's name. */
export interface MountFiles {
  /** The whole disk, as a file that can be written to. */
  disk: string;
  /** What is written to it. */
  overlay: string;
  /** The number of the process that offers it. */
  pid: string;
}

export class MountNotes {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  files(point: string): MountFiles {
    const at = (end: string): string => join(this.folder, `${point}${end}`);
    return { disk: at('.disk'), overlay: at('.overlay'), pid: at('.pid') };
  }

  async all(): Promise<MountNote[]> {
    const found: MountNote[] = [];
    for (const name of await readdir(this.folder).catch(() => [])) {
      if (!name.endsWith(SUFFIX)) continue;
      const text = await readFile(join(this.folder, name), 'utf8').catch(() => null);
      // Removed meanwhile.
      if (text !== null) found.push(JSON.parse(text) as MountNote);
    }
    return found;
  }

  /** False: there is one of this point. */
  async begin(point: string, directory: string): Promise<boolean> {
    const maker = { pid: process.pid, startedAt: (await startOf(process.pid)) ?? '' };
    const part = join(this.folder, `${point}.${process.pid}.part`);
    await writeFile(part, JSON.stringify({ point, directory, maker } satisfies MountNote), { mode: 0o600 });
    try {
      // In one step: nobody sees half of a note, nor overwrites another's.
      await link(part, this.#path(point));
      return true;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw e;
    } finally {
      await rm(part, { force: true });
    }
  }

  async finished(point: string, directory: string): Promise<void> {
    await writeFile(this.#path(point), JSON.stringify({ point, directory, maker: null } satisfies MountNote), { mode: 0o600 });
  }

  /** What was cut short, or is mounted no more. What is in use stays. */
  async sweep(): Promise<void> {
    for (const note of await this.all()) {
      const { maker } = note;
      if (maker && (await startOf(maker.pid)) === maker.startedAt) continue;
      if (!maker && (await mountsOf(await loopsOf(this.files(note.point).disk))).length > 0) continue;
      await this.takeDown(note.point).catch(() => undefined);
    }
  }

  /** Everything of one mount, however much of it there is. Rejects if it is in use. */
  async takeDown(point: string): Promise<void> {
    const { disk, overlay, pid } = this.files(point);
    const loops = await loopsOf(disk);
    for (const directory of await mountsOf(loops)) await runProgram('busybox', ['umount', directory], 'busybox-static');
    for (const loop of loops) await runProgram('busybox', ['losetup', '-d', loop], 'busybox-static').catch(() => undefined);
    await endEngine(Number(await readFile(pid, 'utf8').catch(() => '0')), disk);
    // It takes its own mount with it, unless it was killed.
    if ((await mounts()).some((m) => m.at === disk)) await runProgram('busybox', ['umount', '-l', disk], 'busybox-static');
    for (const file of [disk, overlay, pid, this.#path(point)]) await rm(file, { force: true });
  }

  #path(point: string): string {
    return join(this.folder, `${point}${SUFFIX}`);
  }
}

/** By proc(5), the 22nd field. Null: there is no such process. */
async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name, in brackets, may hold anything.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

/** Loop devices that stand for a file: /dev/loop0... */
async function loopsOf(file: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir('/sys/block').catch(() => [])) {
    if (!name.startsWith('loop')) continue;
    const backing = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '');
    if (backing.trimEnd() === file) found.push(`/dev/${name}`);
  }
  return found;
}

async function mountsOf(devices: readonly string[]): Promise<string[]> {
  return (await mounts()).filter((m) => devices.includes(m.source)).map((m) => m.at);
}

/** By proc_pid_mountinfo(5). */
async function mounts(): Promise<{ at: string; source: string }[]> {
  const plain = (text = ''): string => text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    return after === '' ? [] : [{ at: plain(before.split(' ')[4]), source: plain(after.split(' ')[1]) }];
  });
}

/** Only if that is the process of this file. */
async function endEngine(pid: number, disk: string): Promise<void> {
  if (!Number.isInteger(pid) || pid <= 1) return;
  const isOurs = async (): Promise<boolean> => {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return text.includes(ENGINE) && text.includes(disk);
  };
  if (!(await isOurs())) return;
  process.kill(pid, 'SIGTERM');
  const deadline = performance.now() + END_WITHIN_MS;
  while ((await isOurs()) && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
  // Nothing of it is worth keeping.
  if (await isOurs()) process.kill(pid, 'SIGKILL');
}
