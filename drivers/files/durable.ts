// A small file, put in its place durably: written aside, flushed, renamed, and its folder flushed. A loss of power at any moment leaves the old file
// or the new one, never a part. Only its owner may read it: what is kept so are keys, passwords and what they belong to.
//
// Twice, with the same steps: whoever must not stand still on a disk that hangs takes the one that can be waited for.
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

const MODE = 0o600;
const FOLDER_MODE = 0o700;

const asideOf = (path: string): string => `${path}.new`;

/** Its folder is made where there is none. Throws the file system's error: then what was there is there. */
export function putWholeSync(path: string, text: string): void {
  writeAsideSync(asideOf(path), text);
  moveInto(asideOf(path), path);
}

/** Whole and flushed under this name, in place of whatever had it; the name itself counts after `moveInto` only. */
export function writeAsideSync(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
  // Left by an attempt that was cut short, perhaps with other rights.
  rmSync(path, { force: true });
  const fd = openSync(path, 'wx', MODE);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Within one folder. Durable when it returns. */
export function moveInto(from: string, to: string): void {
  renameSync(from, to);
  const fd = openSync(dirname(to), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** As putWholeSync; the thread goes on meanwhile. */
export async function putWhole(path: string, text: string): Promise<void> {
  const aside = asideOf(path);
  await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
  await rm(aside, { force: true });
  const file = await open(aside, 'wx', MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync().finally(() => folder.close());
}
