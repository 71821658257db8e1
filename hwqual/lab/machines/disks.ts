// The disks of a whole machine: raw files with an ext4 each, made here because that takes seconds here and minutes under emulation. The
// data disk holds the workload's disk, as the lab of namespaces makes it.
import { mkdir, open, rm, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { runInRoot } from '../guest/root-command.ts';
import { LabError } from '../lab-error.ts';

const MIB = 1024 * 1024;
/** runInRoot shows the folder of the file here. */
const SEEN_AT = '/mnt';

export interface DiskOptions {
  root: string;
  /** Refuses to overwrite. */
  path: string;
  sizeMiB: number;
  label: string;
  /** Put into it: a folder beside `path`. */
  contents?: string;
}

/** Sparse. */
export async function makeDisk({ root, path, sizeMiB, label, contents }: DiskOptions): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  await file.close();
  await truncate(path, sizeMiB * MIB);
  const from = contents === undefined ? [] : ['-d', join(SEEN_AT, basename(contents))];
  const args = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', label, ...from, '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', path];
  const made = await runInRoot(root, path, '/usr/sbin/mke2fs', args);
  if (made.status !== 0) throw new LabError(`no file system could be made in ${path}: ${made.stderr.trim()}`);
}

/** The disk with the workload's disk in it. */
export async function makeDataDisk(
  options: Omit<DiskOptions, 'contents'> & { makeWorkload: (path: string) => Promise<void> },
): Promise<void> {
  const contents = join(dirname(options.path), 'contents');
  await mkdir(contents, { mode: 0o700 });
  try {
    await options.makeWorkload(join(contents, 'disk0'));
    await makeDisk({ ...options, contents });
  } finally {
    await rm(contents, { recursive: true });
  }
}
