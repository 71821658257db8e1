// Where the engine root is: a directory named after what it is made of, so that a changed lock can never meet an old root.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Oldest engine that runs lockstep under both accelerators; older ones deadlock at checkpoints or leave stale memory behind. */
export const OLDEST_ENGINE = { major: 11, minor: 1 } as const;

/** Outside the tree, shared by every clone on this machine: engine roots and the packages they are made of. */
export function cacheDirectory(): string {
  return process.env.TWINSTEP_CACHE_DIR ?? '/var/cache/twinstep';
}

const IDENTITY_FILES = ['packages.lock', 'excludes.txt'];

/** The first 12 hex digits of the SHA-256 over the files that decide what the root contains. */
export function engineRootId(): string {
  const hash = createHash('sha256');
  for (const file of IDENTITY_FILES) hash.update(readFileSync(join(import.meta.dirname, file)));
  return hash.digest('hex').slice(0, 12);
}

/** The root file system with the pinned engine; exists after the set-up. Read only: whoever needs to write mounts an overlay. */
export function engineRootPath(): string {
  return join(cacheDirectory(), `engine-${engineRootId()}`, 'root');
}
