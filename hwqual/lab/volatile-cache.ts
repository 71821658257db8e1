// Gives a program disks with a volatile write cache, one of which can fail: builds the library of native/ once and says how to load it.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import { DISK_FAULTS_FILE } from './disk-faults.ts';

const SOURCES = ['volatile-cache.c', 'disk-faults.c', 'disk-faults.h'].map((name) => join(import.meta.dirname, 'native', name));

/** The library's path, built into cacheDir if this version of its source is not there yet. Needs gcc and libc6-dev. */
export async function volatileCacheLibrary(cacheDir: string): Promise<string> {
  const digest = createHash('sha256');
  for (const source of SOURCES) digest.update(readFileSync(source));
  const hash = digest.digest('hex').slice(0, 12);
  const path = join(cacheDir, `volatile-cache-${hash}.so`);
  if (existsSync(path)) return path;
  mkdirSync(cacheDir, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  const units = SOURCES.filter((source) => source.endsWith('.c'));
  await run('gcc', ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-pthread', '-o', unfinished, ...units], { timeoutMs: 120_000 });
  renameSync(unfinished, path);
  return path;
}

/** The environment that loads it. All paths as the program sees them; undoLogDir must lie outside `directories`. */
export function volatileCacheEnvironment(library: string, directories: readonly string[], undoLogDir: string): Record<string, string> {
  return {
    LD_PRELOAD: library,
    TWINSTEP_VOLATILE_DIRS: directories.join(':'),
    TWINSTEP_VOLATILE_LOG: undoLogDir,
    TWINSTEP_DISK_FAULTS: `${undoLogDir}/${DISK_FAULTS_FILE}`,
  };
}
