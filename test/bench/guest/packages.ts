// The Debian packages of the benchmark's guest: pinned in packages.lock by hash, fetched into the cache that the engine root's share.
//   node test/bench/guest/packages.ts --refresh-lock    takes Debian's current versions
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchPackages } from '../../../image/engine/archive.ts';
import { cacheDirectory } from '../../../image/engine/engine-root.ts';
import { cachedName, parseLock } from '../../../image/engine/lock.ts';
import { refreshLock } from '../../../image/engine/refresh-lock.ts';

const HEADER = [
  "# The benchmark's Debian guest, package by package: name version architecture sha256 path",
  '# Made by: node test/bench/guest/packages.ts --refresh-lock',
];
export const LOCK_FILE = join(import.meta.dirname, 'packages.lock');

/** Paths of the .deb files, fetched where they are missing. Throws, naming those that cannot be had. */
export async function benchPackages(signal: AbortSignal): Promise<string[]> {
  const locked = parseLock(readFileSync(LOCK_FILE, 'utf8'));
  const debs = join(cacheDirectory(), 'debs');
  try {
    await fetchPackages(locked, debs, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `the benchmark's Debian guest cannot be made: ${reason}\n  For the guest's own packages: node test/bench/guest/packages.ts --refresh-lock`,
    );
  }
  return locked.map((p) => join(debs, cachedName(p)));
}

if (import.meta.main) {
  if (process.argv[2] !== '--refresh-lock') {
    process.stderr.write('usage: node test/bench/guest/packages.ts --refresh-lock\n');
    process.exitCode = 1;
  } else {
    const packages = await refreshLock(new AbortController().signal, { folder: import.meta.dirname, closure: false });
    const lines = readFileSync(LOCK_FILE, 'utf8').split('\n').slice(HEADER.length);
    writeFileSync(LOCK_FILE, [...HEADER, ...lines].join('\n'));
    process.stdout.write(`packages.lock: ${packages.length} packages; review the difference, then commit it\n`);
  }
}
