// All files or none: first every one is written whole and flushed beside its place, then they are renamed, the configuration last. A
// configuration that is there is therefore complete; without it init of the image does not look at the others.
import { rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { moveInto, writeAsideSync } from '../../drivers/files/index.ts';
import type { PlannedFile } from './plan.ts';

/** What is written is a few KiB; a file system has to keep some of its own beside that. */
const NEEDED_BYTES = 1 << 20;

export class WriteError extends Error {
  override name = 'WriteError';
}

/** Throws WriteError with the remedy; nothing is in place then. */
export function writeFiles(folder: string, files: readonly PlannedFile[]): void {
  const aside = files.map(({ path }) => join(folder, `${path}.new`));
  try {
    const free = statfsSync(folder);
    if (free.bavail * free.bsize < NEEDED_BYTES) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    for (const [i, { text }] of files.entries()) writeAsideSync(aside[i] ?? '', text);
  } catch (error) {
    for (const path of aside) rmSync(path, { force: true });
    throw new WriteError(sentence(folder, error as NodeJS.ErrnoException));
  }
  try {
    for (const [i, { path }] of files.entries()) moveInto(aside[i] ?? '', join(folder, path));
  } catch (error) {
    for (const path of aside) rmSync(path, { force: true });
    throw new WriteError(sentence(folder, error as NodeJS.ErrnoException));
  }
}

function sentence(folder: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOSPC')
    return `There is no room left on the state partition (${folder}): nothing was written. Its disk is too small, or still holds an earlier pair's data: install this server anew, on a larger disk.`;
  return `The answers cannot be written to ${folder} (${error.message}): nothing counts yet. Look at the disk of this server, then try again.`;
}
