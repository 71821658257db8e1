// The appliance's root before anything of ours is in it: the packages of packages.lock, installed. Kept in the cache under a name that says
// what it is made of, as the engine root is, and made in the same way.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fetchPackages } from '../engine/archive.ts';
import { installRoot } from '../engine/build.ts';
import { cacheDirectory } from '../engine/engine-root.ts';
import { cachedName, type LockedPackage, parseLock } from '../engine/lock.ts';
import { mustRun } from '../engine/run-program.ts';

const HERE = import.meta.dirname;
export const TOOLS_FOLDER = join(HERE, 'tools');
export const COMPILER_FOLDER = join(HERE, 'compiler');
/** What decides what is in the root. */
const IDENTITY = ['packages.lock', '../engine/excludes.txt', 'excludes.txt'];

export type Say = (line: string) => void;

/** `of`: the folder with the lock. */
export function lockedPackages(of: string = HERE): LockedPackage[] {
  return parseLock(readFileSync(join(of, 'packages.lock'), 'utf8'));
}

/** Fetches what the cache lacks of all locks. Throws, naming packages and remedy. */
export async function fetchAll(signal: AbortSignal, say: Say): Promise<void> {
  const debs = join(cacheDirectory(), 'debs');
  const wanted = [HERE, TOOLS_FOLDER, COMPILER_FOLDER].flatMap(lockedPackages);
  const { fetched } = await fetchPackages(wanted, debs, signal).catch((error: unknown) => {
    if (signal.aborted || !(error instanceof Error)) throw error;
    throw new Error(`${error.message}\n  For the packages of the image: node image/disk/build.ts --refresh-lock`);
  });
  if (fetched > 0) say(`fetched ${fetched} Debian packages into ${debs}`);
}

/** The root in the cache; installed when it is not there, or always when `anew`: then it is somewhere below `work`. Needs root. */
export async function baseRoot(options: { work: string; anew: boolean; signal: AbortSignal; say: Say }): Promise<string> {
  const { anew, signal, say } = options;
  const hash = createHash('sha256');
  for (const file of IDENTITY) hash.update(readFileSync(join(HERE, file)));
  const kept = join(cacheDirectory(), `root-${hash.digest('hex').slice(0, 12)}`);
  if (!anew && existsSync(kept)) return join(kept, 'root');
  mkdirSync(dirname(kept), { recursive: true });
  const work = mkdtempSync(anew ? join(options.work, 'root-') : `${kept}-work-${process.pid}-`);
  try {
    await installRoot(lockedPackages(), { work, folder: HERE }, signal);
  } catch (error) {
    await removeTree(work);
    throw error;
  }
  say(`installed ${lockedPackages().length} packages`);
  if (anew) return join(work, 'root');
  chmodSync(work, 0o755);
  renameSync(work, kept);
  return join(kept, 'root');
}

/** What killed builds left in the cache; builds that run are left alone. Their names end in `work-PID-` and six letters. */
export async function removeLeftovers(): Promise<void> {
  for (const name of readdirSync(cacheDirectory())) {
    const pid = /^(?:image|root|addons)-(?:.*-)?work-(\d+)-\w{6}$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await removeTree(join(cacheDirectory(), name));
  }
}

/** --one-file-system: should a mount ever be left inside, it must not be emptied. */
async function removeTree(directory: string): Promise<void> {
  await mustRun('rm', ['--recursive', '--force', '--one-file-system', directory]);
}

/** Unpacks the tools' packages into `target`. */
export const unpackTools = (target: string): Promise<void> => unpack(TOOLS_FOLDER, target);

/** Unpacks the packages of a folder's lock into `target`; nothing of them is run as part of installing. */
export async function unpack(folder: string, target: string): Promise<void> {
  mkdirSync(target, { recursive: true });
  for (const locked of lockedPackages(folder))
    await mustRun('dpkg-deb', ['--extract', join(cacheDirectory(), 'debs', cachedName(locked)), target]);
}
