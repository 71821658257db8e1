// Builds the engine root: the pinned Debian root file system with the engine, the workload's kernel and a few tools.
//
//   packages.lock -> .debs (cached, hash checked) -> a repository of exactly these -> mmdebstrap -> checked -> renamed into place
//
// Nothing that is seen under its final name is ever half built, and with the .debs cached no network is needed.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fetchPackages, makeRepository } from './archive.ts';
import { cacheDirectory, engineRootPath, OLDEST_ENGINE } from './engine-root.ts';
import { compareInstalled, type LockedPackage, parseLock } from './lock.ts';
import { RELEASE, refreshLock, wantedPackages } from './refresh-lock.ts';
import { mustRun } from './run-program.ts';

// Placeholders of dpkg-query, not ours.
// biome-ignore lint/suspicious/noTemplateCurlyInString: see above
const PACKAGE_AND_VERSION = '${Package} ${Version}\\n';

/** Builds the root unless it is there (`made` false). Needs root; throws with the remedy. */
export async function buildEngineRoot(signal: AbortSignal, say: (line: string) => void): Promise<{ root: string; made: boolean }> {
  const root = engineRootPath();
  if (existsSync(root)) return { root, made: false };
  const locked = parseLock(readFileSync(join(import.meta.dirname, 'packages.lock'), 'utf8'));
  const debs = join(cacheDirectory(), 'debs');
  const { fetched } = await fetchPackages(locked, debs, signal);
  if (fetched > 0) say(`Fetched ${fetched} Debian packages of the engine root into ${debs}`);

  removeLeftovers(dirname(dirname(root)));
  // Beside its final place, so that the rename at the end is one step.
  const work = mkdtempSync(`${dirname(root)}.building-`);
  try {
    await installRoot(locked, { work, folder: import.meta.dirname }, signal);
    chmodSync(work, 0o755);
    renameSync(work, dirname(root));
  } catch (error) {
    await removeTree(work);
    throw error;
  }
  return { root, made: true };
}

/**
 * Installs the packages of a lock, all of them cached, into `work`/root: `folder` holds the packages.txt they were resolved from, and its
 * excludes.txt, if any, names paths to leave out besides the engine root's. Throws when the result is not what the lock says.
 */
export async function installRoot(
  locked: readonly LockedPackage[],
  { work, folder }: { work: string; folder: string },
  signal: AbortSignal,
): Promise<void> {
  const root = join(work, 'root');
  await makeRepository(locked, join(cacheDirectory(), 'debs'), join(work, 'repository'), RELEASE);
  const excludes = [...new Set([import.meta.dirname, folder])].map((f) => join(f, 'excludes.txt')).filter((file) => existsSync(file));
  await runMmdebstrap(root, { work, wanted: wantedPackages(folder), excludes }, signal);
  trimRoot(root);
  await checkRoot(root, locked);
  for (const part of ['repository', 'excludes']) rmSync(join(work, part), { recursive: true });
}

async function runMmdebstrap(
  target: string,
  { work, wanted, excludes: files }: { work: string; wanted: readonly string[]; excludes: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const excludes = files.flatMap((file) => readFileSync(file, 'utf8').split('\n')).filter((line) => line !== '' && !line.startsWith('#'));
  writeFileSync(join(work, 'excludes'), excludes.map((path) => `path-exclude=${path}\n`).join(''));
  await mustRun(
    'mmdebstrap',
    [
      '--mode=root',
      '--variant=essential',
      '--architectures=amd64',
      `--include=${wanted.join(',')}`,
      '--aptopt=APT::Install-Recommends "false"',
      '--aptopt=APT::Sandbox::User "root"',
      '--aptopt=pkgCacheGen::ForceEssential "none"',
      `--dpkgopt=${join(work, 'excludes')}`,
      // The cached name of every package is its hash, which was checked: apt's own signature has nothing to add.
      RELEASE,
      target,
      `deb [trusted=yes] copy:${join(work, 'repository')} ./`,
    ],
    { signal, env: { ...process.env, LC_ALL: 'C.UTF-8', SOURCE_DATE_EPOCH: '1750000000' } },
  );
}

/** Takes out what the build copied from this machine or wrote with the time of day: the root is the same wherever it is made. */
function trimRoot(root: string): void {
  const boot = readdirSync(join(root, 'boot')).filter((name) => name.startsWith('initrd'));
  const links = ['initrd.img', 'initrd.img.old', 'vmlinuz.old'];
  const traces = ['etc/hostname', 'etc/resolv.conf', 'etc/machine-id', 'var/log/apt', 'var/log/dpkg.log', 'var/log/alternatives.log'];
  const caches = ['var/cache/apt', 'var/lib/apt/lists', 'var/cache/ldconfig', 'var/cache/debconf'];
  const settings = ['etc/apt/sources.list'];
  for (const path of [...boot.map((name) => `boot/${name}`), ...links, ...traces, ...caches, ...settings]) {
    rmSync(join(root, path), { recursive: true, force: true });
  }
}

/** The root is what the lock says, and the engine in it runs here. */
async function checkRoot(root: string, locked: readonly LockedPackage[]): Promise<void> {
  const listing = await mustRun('dpkg-query', [
    `--admindir=${join(root, 'var/lib/dpkg')}`,
    '--show',
    `--showformat=${PACKAGE_AND_VERSION}`,
  ]);
  const installed = new Map<string, string>();
  for (const line of listing.trimEnd().split('\n')) {
    const [name, version] = line.split(' ');
    if (name && version) installed.set(name, version);
  }
  const differences = compareInstalled(locked, installed);
  if (differences.length > 0) throw new Error(`the engine root is not what packages.lock says:\n  ${differences.join('\n  ')}`);
  await checkEngine(root, installed.get('qemu-system-x86') ?? '');
  if (readdirSync(join(root, 'usr/lib/modules')).length !== 1)
    throw new Error('the engine root must hold the modules of exactly one kernel');
}

/** Throws unless the engine answers with the version of its package and is not too old for lockstep. */
export async function checkEngine(root: string, packageVersion: string): Promise<void> {
  const said = await mustRun('chroot', [root, 'qemu-system-x86_64', '--version']);
  const version = /version (\d+)\.(\d+)\.(\d+)/.exec(said);
  const [whole, major, minor] = version ?? [];
  const dotted = whole?.slice('version '.length) ?? '';
  if (!packageVersion.replace(/^\d+:/, '').startsWith(`${dotted}+`)) {
    throw new Error(`the engine says it is ${dotted || said.trim()}, but its package is ${packageVersion}`);
  }
  const order = (Number(major) - OLDEST_ENGINE.major) * 1000 + Number(minor) - OLDEST_ENGINE.minor;
  if (!(order >= 0)) {
    throw new Error(
      `the engine is ${dotted}; lockstep needs ${OLDEST_ENGINE.major}.${OLDEST_ENGINE.minor} or newer (image/engine/preferences pins it)`,
    );
  }
}

/** What a killed build left. Only the holder of the set-up's lock builds, so nobody is using it. */
function removeLeftovers(cache: string): void {
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) if (name.includes('.building-')) rmSync(join(cache, name), { recursive: true, force: true });
}

async function removeTree(directory: string): Promise<void> {
  // --one-file-system: should a mount ever be left inside, it must not be emptied.
  await mustRun('rm', ['--recursive', '--force', '--one-file-system', directory]);
}

async function main(): Promise<void> {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => abort.abort());
  const args = process.argv.slice(2);
  if (args.length > 1 || (args[0] && args[0] !== '--refresh-lock')) throw new Error('usage: node image/engine/build.ts [--refresh-lock]');
  if (args[0] === '--refresh-lock') {
    const packages = await refreshLock(abort.signal);
    console.log(`packages.lock: ${packages.length} packages; review the difference, run npm test, then commit it`);
  } else {
    console.log((await buildEngineRoot(abort.signal, (line) => console.log(line))).root);
  }
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
