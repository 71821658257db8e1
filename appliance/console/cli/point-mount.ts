// A restore point's files: the NBD export becomes a file (qemu-storage-daemon, by FUSE), the file a read-only loop device, and that is
// mounted without replaying even the file system's log. What belongs to a mount is noted beside the export's socket.
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileSystemOf, partitionAt, SUPERBLOCK_BYTES, TABLE_BYTES } from './disk-layout.ts';
import { DEFAULT_SOCKET } from './local-socket.ts';
import { type PointExportAnswer, PointsRefusal } from './points-refusal.ts';
import { runProgram } from './programs.ts';

const ENGINE = 'qemu-storage-daemon';
const SUFFIX = '.mount.json';
/** The notes of all mounts; of the system, like the mounts themselves. */
const NOTES = join(dirname(DEFAULT_SOCKET), 'points');
/** The process that ends writes nothing more: it is only waited for. */
const END_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 20;
/** What the guest's users made must have no powers on this machine. */
const NOTHING_RUNS = 'nosuid,nodev,noexec';

interface Note {
  point: string;
  directory: string;
  loop: string;
  file: string;
  pid: number;
}

export async function mountPoint(e: PointExportAnswer, point: string, directory: string, partition: number | null): Promise<string> {
  const at = resolve(directory);
  if (!(await stat(at).catch(() => null))?.isDirectory()) throw new PointsRefusal(`${at} is no directory: make it first`);
  await mkdir(NOTES, { recursive: true, mode: 0o700 });
  if ((await notes()).some(({ note }) => note.directory === at || note.point === point))
    throw new PointsRefusal(`'${point}' is mounted already, or something is at ${at}: twinstep points unmount DIR`);
  const file = join(NOTES, `${point}.disk`);
  const pidFile = join(NOTES, `${point}.pid`);
  await rm(file, { force: true });
  await writeFile(file, '', { mode: 0o600 });
  let loop = '';
  try {
    await runProgram(
      ENGINE,
      [
        ...[
          '--blockdev',
          JSON.stringify({
            driver: 'nbd',
            'node-name': 'point',
            'read-only': true,
            export: e.exportName,
            server: { type: 'unix', path: e.socketPath },
          }),
        ],
        ...['--export', JSON.stringify({ type: 'fuse', id: 'point', 'node-name': 'point', mountpoint: file, writable: false })],
        ...['--daemonize', '--pidfile', pidFile],
      ],
      'qemu-utils',
    );
    const offset = await offsetOf(file, partition);
    const found = fileSystemOf(await bytesOf(file, offset, SUPERBLOCK_BYTES));
    if (!found)
      throw new Error(
        `no file system that is known here begins at ${offset}${partition === null ? ': does the disk have partitions? Then name one: --partition 1' : ''}`,
      );
    loop = (await runProgram('busybox', ['losetup', '-f'], 'busybox-static')).trim();
    await runProgram('busybox', ['losetup', '-r', '-o', String(offset), loop, file], 'busybox-static');
    await runProgram('busybox', ['mount', '-t', found.type, '-o', `${found.options},${NOTHING_RUNS}`, loop, at], 'busybox-static');
    const note: Note = { point, directory: at, loop, file, pid: Number(await readFile(pidFile, 'utf8')) };
    await writeFile(join(NOTES, `${point}${SUFFIX}`), JSON.stringify(note), { mode: 0o600 });
    return `The restore point '${point}' is mounted read-only at ${at} (${found.type}). The file system's log is not replayed: changes of the last seconds before it was taken may be missing, an export has them. When you are done: twinstep points unmount ${at}`;
  } catch (error) {
    if (loop !== '') await runProgram('busybox', ['losetup', '-d', loop], 'busybox-static').catch(() => undefined);
    await endEngine(Number(await readFile(pidFile, 'utf8').catch(() => '0')), file);
    await Promise.all([rm(file, { force: true }), rm(pidFile, { force: true })]);
    throw new PointsRefusal(`'${point}' was not mounted: ${(error as Error).message}`);
  }
}

export async function unmountPoint(directory: string): Promise<string> {
  const at = resolve(directory);
  const found = (await notes()).find(({ note }) => note.directory === at);
  if (!found) throw new PointsRefusal(`no restore point is mounted at ${at}`);
  const { note, path } = found;
  await runProgram('busybox', ['umount', at], 'busybox-static').catch((e: Error) => {
    if (!/not mounted|Invalid argument/i.test(e.message)) throw new PointsRefusal(`${at} is in use: ${e.message}`);
  });
  await runProgram('busybox', ['losetup', '-d', note.loop], 'busybox-static').catch(() => undefined);
  await endEngine(note.pid, note.file);
  await Promise.all([rm(note.file, { force: true }), rm(join(NOTES, `${note.point}.pid`), { force: true }), rm(path, { force: true })]);
  return `The restore point '${note.point}' is no longer mounted.`;
}

async function notes(): Promise<{ note: Note; path: string }[]> {
  const all: { note: Note; path: string }[] = [];
  for (const name of await readdir(NOTES).catch(() => [])) {
    if (!name.endsWith(SUFFIX)) continue;
    const path = join(NOTES, name);
    all.push({ note: JSON.parse(await readFile(path, 'utf8')) as Note, path });
  }
  return all;
}

async function offsetOf(file: string, partition: number | null): Promise<number> {
  if (partition === null) return 0;
  const found = partitionAt(await bytesOf(file, 0, TABLE_BYTES), partition);
  if (found === undefined) throw new Error('the disk has no partitions: leave --partition out');
  if (found === null) throw new Error(`the disk has no partition ${partition}`);
  return found.offset;
}

async function bytesOf(file: string, offset: number, length: number): Promise<Buffer> {
  const f = await open(file, 'r');
  try {
    const buffer = Buffer.alloc(length);
    await f.read(buffer, 0, length, offset);
    return buffer;
  } finally {
    await f.close();
  }
}

/** Only if that is the process of this file: numbers are given again. */
async function endEngine(pid: number, file: string): Promise<void> {
  if (!Number.isInteger(pid) || pid <= 1) return;
  const isOurs = async (): Promise<boolean> => {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return text.startsWith(ENGINE) && text.includes(file);
  };
  if (!(await isOurs())) return;
  process.kill(pid, 'SIGTERM');
  const deadline = performance.now() + END_WITHIN_MS;
  while ((await isOurs()) && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
}
