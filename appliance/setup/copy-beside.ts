// A file that came with the answers, copied whole or not at all.
import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** Rejects with a sentence. */
export async function copyBeside(from: string, to: string): Promise<void> {
  const aside = `${to}.new`;
  try {
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await copyFile(from, aside);
    const handle = await open(aside, 'r+');
    await handle.sync().finally(() => handle.close());
    await rename(aside, to);
  } catch (error) {
    await rm(aside, { force: true });
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Error(`The answer file names ${basename(from)}, which is not beside it: put it there.`);
    if (code === 'ENOSPC') throw new Error(`There is no room for ${basename(from)} on the state partition: it needs a larger disk.`);
    throw new Error(`${basename(from)} could not be copied: ${message}.`);
  }
}
