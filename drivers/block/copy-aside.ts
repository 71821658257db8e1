// A whole disk, nobody writing to it, copied into a file beside: shared with the original where the file system can (reflink), else sparse.
//
// The name appears only when every byte behind it is durable, and never replaces what has that name already: the copy is made as
// NAME.part, flushed, and then given its name by a link, which fails where a rename would overwrite.
import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, lstat, open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

const STEP_BYTES = 1024 * 1024;
/** What is all zero in steps of this size becomes a hole. */
const HOLE_BYTES = 64 * 1024;
/** Left free beside the copy: the same file system may hold the durable record and the journal. */
const SPARE_BYTES = 256 * 1024 * 1024;
const ZEROES = Buffer.alloc(HOLE_BYTES);

export interface CopyAside {
  /** A file or a block device. */
  from: string;
  /** The new file's name; its folder exists. */
  to: string;
  /** Of a block device, whose size no file system tells. */
  deviceBytes: number;
  signal: AbortSignal;
  progress: (doneBytes: number, totalBytes: number) => void;
}

export type CopiedHow = 'shared' | 'copied' | 'there already';

/** Rejects with a sentence that says what is missing, and leaves nothing behind then. */
export async function copyAside(order: CopyAside): Promise<{ how: CopiedHow; bytes: number }> {
  const { from, to } = order;
  const found = await stat(from);
  const bytes = found.isFile() ? found.size : order.deviceBytes;
  const there = await lstat(to).catch(unlessMissing);
  if (there) {
    // A name appears only when the copy is whole: an attempt that was cut short after that needs no other one.
    if (there.isFile() && there.size === bytes) return { how: 'there already', bytes };
    throw new Error(`${to} exists and is no copy of ${from} (${there.size} instead of ${bytes} bytes): move it away`);
  }
  const part = `${to}.part`;
  await rm(part, { force: true });
  try {
    const how = found.isFile() && (await reflink(from, part)) ? 'shared' : await copySparse(order, part, bytes, neededBytes(found, bytes));
    order.signal.throwIfAborted();
    await link(part, to);
    await syncFolder(dirname(to));
    return { how, bytes };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC')
      throw new Error(`no space left for ${to} while ${from} was copied`, { cause: error });
    throw error;
  } finally {
    await rm(part, { force: true });
  }
}

/** At most: zeroes that were written become holes. */
function neededBytes(found: { isFile(): boolean; blocks: number }, bytes: number): number {
  return found.isFile() ? Math.min(found.blocks * 512, bytes) : bytes;
}

/** False: this file system cannot share. */
async function reflink(from: string, part: string): Promise<boolean> {
  try {
    await copyFile(from, part, constants.COPYFILE_FICLONE_FORCE);
  } catch {
    // Whatever it is, the copy by hand meets it again, and names it.
    await rm(part, { force: true });
    return false;
  }
  const file = await open(part, 'r+');
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
  return true;
}

async function copySparse(order: CopyAside, part: string, bytes: number, needed: number): Promise<'copied'> {
  const { from, to } = order;
  const { bavail, bsize } = await statfs(dirname(to));
  const free = bavail * bsize;
  if (free < needed + SPARE_BYTES)
    throw new Error(
      `${to} needs ${megabytes(needed)} MB, and ${megabytes(SPARE_BYTES)} MB must stay free: ${dirname(to)} has ${megabytes(free)} MB. Free some space there`,
    );
  const source = await open(from, 'r');
  try {
    const target = await open(part, 'wx', 0o600);
    try {
      await target.truncate(bytes);
      const step = Buffer.alloc(STEP_BYTES);
      for (let at = 0; at < bytes; ) {
        order.signal.throwIfAborted();
        const { bytesRead } = await source.read(step, 0, Math.min(STEP_BYTES, bytes - at), at);
        if (bytesRead === 0) throw new Error(`${from} ends at byte ${at} of ${bytes}`);
        await writeWithoutZeroes(target, step.subarray(0, bytesRead), at);
        at += bytesRead;
        order.progress(at, bytes);
      }
      await target.sync();
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
  return 'copied';
}

async function writeWithoutZeroes(target: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let from = 0; from < bytes.length; from += HOLE_BYTES) {
    const piece = bytes.subarray(from, from + HOLE_BYTES);
    if (piece.equals(ZEROES.subarray(0, piece.length))) continue;
    for (let done = 0; done < piece.length; ) {
      const { bytesWritten } = await target.write(piece, done, piece.length - done, at + from + done);
      done += bytesWritten;
    }
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unlessMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/** As all consoles say it: decimal. */
function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1_000_000);
}
