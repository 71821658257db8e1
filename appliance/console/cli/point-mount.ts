// A restore point's files, as the guest would find them after a loss of power at that moment.
//
//   NBD export, read-only <- overlay (qcow2, temporary) <- file (FUSE) <- loop device <- mounted, read-only
//
// What was fsynced seconds before is in the file system's log only: the kernel replays it, into the overlay. The point is not written to.
import { mkdir, open, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { sizeText } from '../format.ts';
import { fileSystemOf, partitionAt, SUPERBLOCK_BYTES, TABLE_BYTES } from './disk-layout.ts';
import { DEFAULT_SOCKET } from './local-socket.ts';
import { ENGINE, type MountFiles, MountNotes } from './mount-notes.ts';
import { type PointExportAnswer, PointsRefusal } from './points-refusal.ts';
import { runProgram } from './programs.ts';

/** What the guest's users made must have no powers on this machine. */
const NOTHING_RUNS = 'nosuid,nodev,noexec';
/** The notes and overlays of all mounts; of the system, like the mounts themselves. In memory: nothing outlives a restart. */
const FOLDER = join(dirname(DEFAULT_SOCKET), 'points');
/** The largest log that mkfs.ext4 makes by itself; a replay writes no more than the log holds, mostly a few MiB. */
const OVERLAY_BYTES = 1024 * 1024 * 1024;
/** Of what is free where the overlay is: the process needs room there too. */
const OVERLAY_SHARE = 0.5;
/** A changed 4 KiB block costs no more than that; and disks of up to 32 TiB. */
const CLUSTER_BYTES = 8192;

export async function mountPoint(
  e: PointExportAnswer,
  point: string,
  directory: string,
  partition: number | null,
  folder = FOLDER,
): Promise<string> {
  const at = resolve(directory);
  if (!(await stat(at).catch(() => null))?.isDirectory()) throw new PointsRefusal(`${at} is no directory: make it first`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const notes = new MountNotes(folder);
  await notes.sweep();
  if ((await notes.all()).some((note) => note.directory === at) || !(await notes.begin(point, at)))
    throw new PointsRefusal(`'${point}' is mounted already, or something is at ${at}: twinstep points unmount DIR`);
  const files = notes.files(point);
  try {
    const overlayBytes = await serveDisk(e, files);
    const offset = await offsetOf(files.disk, partition);
    const found = fileSystemOf(await bytesOf(files.disk, offset, SUPERBLOCK_BYTES));
    if (!found)
      throw new Error(
        `no file system that is known here begins at ${offset}${partition === null ? ': does the disk have partitions? Then name one: --partition 1' : ''}`,
      );
    const loop = (await runProgram('busybox', ['losetup', '-f'], 'busybox-static')).trim();
    await runProgram('busybox', ['losetup', '-o', String(offset), loop, files.disk], 'busybox-static');
    await runProgram('busybox', ['mount', '-t', found.type, '-o', `${found.options},${NOTHING_RUNS}`, loop, at], 'busybox-static').catch(
      (error: Error) => {
        throw new Error(
          `${error.message}. Its log may be larger than the ${sizeText(overlayBytes)} that may be used in ${folder}: an export has everything`,
        );
      },
    );
    await notes.finished(point, at);
    return `The restore point '${point}' is mounted read-only at ${at} (${found.type}), as the guest would find it after a loss of power at that moment. When you are done: twinstep points unmount ${at}`;
  } catch (error) {
    await notes.takeDown(point).catch(() => undefined);
    throw new PointsRefusal(`'${point}' was not mounted: ${(error as Error).message}`);
  }
}

/** Also of one whose point, or the process that served it, is gone. */
export async function unmountPoint(directory: string, folder = FOLDER): Promise<string> {
  const at = resolve(directory);
  const notes = new MountNotes(folder);
  const note = (await notes.all()).find((n) => n.directory === at);
  if (note)
    await notes.takeDown(note.point).catch((e: Error) => {
      throw new PointsRefusal(`${at} is in use: ${e.message}`);
    });
  await notes.sweep();
  if (!note) throw new PointsRefusal(`no restore point is mounted at ${at}`);
  return `The restore point '${note.point}' is no longer mounted.`;
}

/** Answers how much may be written to the file. */
async function serveDisk(e: PointExportAnswer, files: MountFiles): Promise<number> {
  const { bavail, bsize } = await statfs(dirname(files.overlay));
  const overlayBytes = Math.floor(Math.min(OVERLAY_BYTES, bavail * bsize * OVERLAY_SHARE) / CLUSTER_BYTES) * CLUSTER_BYTES;
  await writeFile(files.disk, '', { mode: 0o600 });
  await writeFile(files.overlay, '', { mode: 0o600 });
  const form = ['-f', 'qcow2', '-o', `cluster_size=${CLUSTER_BYTES}`];
  await runProgram('qemu-img', ['create', '-q', ...form, files.overlay, String(e.sizeBytes)], 'qemu-utils');
  // Sparse. What lies between it and the overlay's format lets nothing grow beyond that.
  await truncate(files.overlay, overlayBytes);
  const point = {
    driver: 'nbd',
    'node-name': 'point',
    'read-only': true,
    export: e.exportName,
    server: { type: 'unix', path: e.socketPath },
  };
  const bounded = { driver: 'raw', size: overlayBytes, file: { driver: 'file', filename: files.overlay } };
  const overlay = { driver: 'qcow2', 'node-name': 'overlay', file: bounded, backing: 'point' };
  const file = { type: 'fuse', id: 'disk', 'node-name': 'overlay', mountpoint: files.disk, writable: true };
  await runProgram(
    ENGINE,
    [
      ...['--blockdev', JSON.stringify(point), '--blockdev', JSON.stringify(overlay)],
      ...['--export', JSON.stringify(file), '--daemonize', '--pidfile', files.pid],
    ],
    'qemu-utils',
  );
  return overlayBytes;
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
