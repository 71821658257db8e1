// The workload's data disk from outside: made with an empty ext4 file system before the first boot, checked and read cold
// after the last shutdown. Uses the e2fsprogs of the engine's root.
import { createHash } from 'node:crypto';
import { open, stat, truncate } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { runInRoot } from './root-command.ts';

const RECORD_BYTES = 32;
const RECORD = /^R (\d{20}) ([0-9a-f]{8})\n$/;

/** Makes `path` a raw image of `sizeMiB` with an empty ext4 file system. Refuses to overwrite. */
export async function createDataDisk(options: { root: string; path: string; sizeMiB: number }): Promise<void> {
  const { root, path, sizeMiB } = options;
  if (!Number.isInteger(sizeMiB) || sizeMiB < 16) throw new Error(`data disk ${path}: size must be at least 16 MiB, not ${sizeMiB}`);
  const file = await open(path, 'wx', 0o600);
  await file.close();
  await truncate(path, sizeMiB * 1024 * 1024);
  // Everything is initialised now: no background writes of the guest's later.
  const features = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', 'data', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard'];
  const made = await runInRoot(root, path, '/usr/sbin/mke2fs', [...features, path]);
  if (made.status !== 0) throw new Error(`mke2fs of ${path} failed: ${made.stderr.trim()}`);
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

export interface ColdDisk {
  /** e2fsck -fn found nothing to mend. */
  clean: boolean;
  fsckOutput: string;
  records: number[];
}

/** What a cold data disk holds: reads only. The guest must have been shut down. */
export async function readColdDisk(options: { root: string; path: string }): Promise<ColdDisk> {
  const { root, path } = options;
  await stat(path);
  const checked = await runInRoot(root, path, '/usr/sbin/e2fsck', ['-f', '-n', path]);
  const dumped = await runInRoot(root, path, '/usr/sbin/debugfs', ['-R', 'cat /records', path]);
  if (dumped.status !== 0 || dumped.stdout.includes('File not found')) throw new Error(`no records on ${path}: ${dumped.stderr.trim()}`);
  const records = parseRecords(Buffer.from(dumped.stdout, 'latin1'));
  return { clean: checked.status === 0, fsckOutput: checked.stdout.trim(), records };
}

/** SHA-256 of a file, hex. */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  for await (const chunk of file.createReadStream()) hash.update(chunk);
  return hash.digest('hex');
}
