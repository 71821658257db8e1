// The disks of a whole machine: raw files. Both have an empty ext4, made here because that takes seconds here and minutes under emulation.
import { open, truncate } from 'node:fs/promises';
import { runInRoot } from '../guest/root-command.ts';
import { LabError } from '../lab-error.ts';

const MIB = 1024 * 1024;

/** Makes `path`, sparse. Refuses to overwrite. */
export async function makeDisk(options: { root: string; path: string; sizeMiB: number; label: string }): Promise<void> {
  const { root, path, sizeMiB, label } = options;
  const file = await open(path, 'wx', 0o600);
  await file.close();
  await truncate(path, sizeMiB * MIB);
  const args = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', label, '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', path];
  const made = await runInRoot(root, path, '/usr/sbin/mke2fs', args);
  if (made.status !== 0) throw new LabError(`no file system could be made in ${path}: ${made.stderr.trim()}`);
}
