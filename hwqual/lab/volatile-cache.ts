// Gives a program disks with a volatile write cache: builds native/volatile-cache.c once and says how to load it.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';

const SOURCE = join(import.meta.dirname, 'native', 'volatile-cache.c');

/** The library's path, built into cacheDir if this version of its source is not there yet. Needs gcc and libc6-dev. */
export async function volatileCacheLibrary(cacheDir: string): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 12);
  const path = join(cacheDir, `volatile-cache-${hash}.so`);
  if (existsSync(path)) return path;
  mkdirSync(cacheDir, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  await run('gcc', ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-pthread', '-o', unfinished, SOURCE], { timeoutMs: 120_000 });
  renameSync(unfinished, path);
  return path;
}

/** The environment that loads it. All paths as the program sees them; undoLogDir must lie outside `directories`. */
export function volatileCacheEnvironment(library: string, directories: readonly string[], undoLogDir: string): Record<string, string> {
  return { LD_PRELOAD: library, TWINSTEP_VOLATILE_DIRS: directories.join(':'), TWINSTEP_VOLATILE_LOG: undoLogDir };
}
