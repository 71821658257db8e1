// The workload's data disk from outside: made with empty file systems before the first boot, checked and read cold after the last
// shutdown, or while the guest has frozen it. The plain disk is one ext4 file system; the load's has a table of partitions: the same
// file system, and an ext4 and an xfs for fio. Uses the e2fsprogs of the engine's root and the xfsprogs of this machine.
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Partition, partitionTable, readPartitionTable } from './partitions.ts';
import { type RootCommandResult, runInRoot } from './root-command.ts';

const RECORD_BYTES = 32;
const RECORD = /^R (\d{20}) ([0-9a-f]{8})\n$/;
const MIB = 1024 * 1024;
const COPY_BYTES = MIB;
const ZEROS = Buffer.alloc(COPY_BYTES);

/** The load's disk: small, because every first protection copies it and every comparison reads it. */
const LOAD_LAYOUT = [
  { type: 'ext4', startMiB: 1, sizeMiB: 31 },
  { type: 'ext4', startMiB: 32, sizeMiB: 48 },
  { type: 'xfs', startMiB: 80, sizeMiB: 64 },
] as const;
export const LOAD_DISK_MIB = 144;
/** An ext4 superblock has this at 0x438, an xfs one at 0. */
const XFS_MAGIC = 'XFSB';

/** Makes `path` a raw image of `sizeMiB` with an empty ext4 file system. Refuses to overwrite. */
export async function createDataDisk(options: { root: string; path: string; sizeMiB: number }): Promise<void> {
  const { root, path, sizeMiB } = options;
  if (!Number.isInteger(sizeMiB) || sizeMiB < 16) throw new Error(`data disk ${path}: size must be at least 16 MiB, not ${sizeMiB}`);
  const file = await open(path, 'wx', 0o600);
  await file.close();
  await truncate(path, sizeMiB * MIB);
  await makeFileSystem(root, path, 'ext4');
}

/** Makes `path` the disk of a guest with load: LOAD_DISK_MIB, in partitions. Refuses to overwrite. */
export async function createLoadDisk(options: { root: string; path: string }): Promise<void> {
  const { root, path } = options;
  const disk = await open(path, 'wx+', 0o600);
  try {
    await disk.truncate(LOAD_DISK_MIB * MIB);
    const partitions = LOAD_LAYOUT.map(({ startMiB, sizeMiB }) => ({ startBytes: startMiB * MIB, sizeBytes: sizeMiB * MIB }));
    const table = partitionTable(partitions);
    await disk.write(table, 0, table.length, 0);
    for (const [i, { type }] of LOAD_LAYOUT.entries()) {
      const partition = partitions[i];
      if (partition !== undefined)
        await asFile(path, partition, async (file) => {
          await makeFileSystem(root, file, type);
          await copyRange(file, 0, path, partition.startBytes, partition.sizeBytes);
        });
    }
  } finally {
    await disk.close();
  }
}

async function makeFileSystem(root: string, path: string, type: 'ext4' | 'xfs'): Promise<void> {
  // Everything is initialised now: no background writes of the guest's later.
  const ext4 = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', 'data', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', path];
  // unsupported: smaller than xfs likes its file systems to be.
  const made =
    type === 'ext4'
      ? await runInRoot(root, path, '/usr/sbin/mke2fs', ext4)
      : await runHere('mkfs.xfs', ['-q', '-f', '-K', '--unsupported', path]);
  if (made.status !== 0) throw new Error(`no ${type} file system could be made in ${path}: ${made.stderr.trim()}`);
}

/** A program of this machine. Any exit status is an answer. */
function runHere(program: string, args: readonly string[]): Promise<RootCommandResult> {
  return new Promise((answer, fail) => {
    execFile(program, args, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number')
        fail(new Error(`${program} could not be run (apt-get install xfsprogs): ${error.message}`));
      else answer({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A part of a disk as a file of its own beside it, for as long as `work` lasts: without loop devices there is nothing to clean up. */
async function asFile<T>(disk: string, { startBytes, sizeBytes }: Partition, work: (file: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(dirname(disk), 'partition-'));
  const file = join(folder, 'partition');
  try {
    await (await open(file, 'wx', 0o600)).close();
    await truncate(file, sizeBytes);
    await copyRange(disk, startBytes, file, 0, sizeBytes);
    return await work(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Leaves holes where there are zeros, in a target that has zeros there. */
async function copyRange(from: string, fromAt: number, to: string, toAt: number, length: number): Promise<void> {
  const [source, target] = [await open(from, 'r'), await open(to, 'r+')];
  try {
    const buffer = Buffer.alloc(COPY_BYTES);
    for (let at = 0; at < length; ) {
      const { bytesRead } = await source.read(buffer, 0, Math.min(COPY_BYTES, length - at), fromAt + at);
      if (bytesRead === 0) throw new Error(`${from} ends at ${fromAt + at}: ${length - at} bytes are missing`);
      if (buffer.compare(ZEROS, 0, bytesRead, 0, bytesRead) !== 0) await target.write(buffer, 0, bytesRead, toAt + at);
      at += bytesRead;
    }
  } finally {
    await source.close();
    await target.close();
  }
}

/** Decodes the guest's record file (README.md). Throws at the first damaged record; a torn one at the end was never acknowledged. */
export function parseRecords(bytes: Buffer): number[] {
  const numbers: number[] = [];
  for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    const record = bytes.toString('latin1', at, at + RECORD_BYTES);
    const match = RECORD.exec(record);
    if (match === null || crc32(record.slice(0, 22)) !== Number.parseInt(match[2] ?? '', 16)) {
      throw new Error(`record ${at / RECORD_BYTES} on the disk is damaged: ${JSON.stringify(record)}`);
    }
    numbers.push(Number(match[1]));
  }
  return numbers;
}

export interface CheckedDisk {
  /** e2fsck -fn and xfs_repair -n found nothing to mend. */
  clean: boolean;
  fsckOutput: string;
}

export interface ColdDisk extends CheckedDisk {
  records: number[];
}

async function partitionsOf(path: string): Promise<Partition[]> {
  const disk = await open(path, 'r');
  try {
    const sector = Buffer.alloc(512);
    await disk.read(sector, 0, 512, 0);
    return readPartitionTable(sector);
  } finally {
    await disk.close();
  }
}

async function checkFileSystem(root: string, path: string): Promise<CheckedDisk> {
  const file = await open(path, 'r');
  const magic = Buffer.alloc(4);
  await file.read(magic, 0, 4, 0).finally(() => file.close());
  const { status, stdout, stderr } =
    magic.toString('latin1') === XFS_MAGIC
      ? await runHere('xfs_repair', ['-n', '-f', path])
      : await runInRoot(root, path, '/usr/sbin/e2fsck', ['-f', '-n', '-E', 'no_optimize_extents', path]);
  return { clean: status === 0, fsckOutput: `${stdout}${stderr}`.trim() };
}

/** Looks through all file systems of a disk that nothing writes to, cold or frozen: reads only. */
export async function checkDisk(options: { root: string; path: string }): Promise<CheckedDisk> {
  const { root, path } = options;
  const partitions = await partitionsOf(path);
  if (partitions.length === 0) return checkFileSystem(root, path);
  const checked: CheckedDisk[] = [];
  for (const partition of partitions) checked.push(await asFile(path, partition, (file) => checkFileSystem(root, file)));
  return { clean: checked.every(({ clean }) => clean), fsckOutput: checked.map(({ fsckOutput }) => fsckOutput).join('\n') };
}

/** What a cold data disk holds: reads only. The guest must have been shut down. */
export async function readColdDisk(options: { root: string; path: string }): Promise<ColdDisk> {
  const { root, path } = options;
  const checked = await checkDisk(options);
  const [first] = await partitionsOf(path);
  const dump = (file: string) => runInRoot(root, file, '/usr/sbin/debugfs', ['-R', 'cat /records', file]);
  const dumped = await (first === undefined ? dump(path) : asFile(path, first, dump));
  if (dumped.status !== 0 || dumped.stdout.includes('File not found')) throw new Error(`no records on ${path}: ${dumped.stderr.trim()}`);
  return { ...checked, records: parseRecords(Buffer.from(dumped.stdout, 'latin1')) };
}
