// Where Debian packages come from: the machine's own mirror, as its apt is configured, then Debian's default name.
import { createHash } from 'node:crypto';
import { constants, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedName, type LockedPackage } from './lock.ts';
import { mustRun, runProgram } from './run-program.ts';

export type ArchiveName = 'debian' | 'debian-security';

/** Bases to try in order, without a slash at the end. */
export type Archives = Record<ArchiveName, string[]>;

const DEFAULT_BASE = 'http://deb.debian.org';

/** Reads the machine's apt configuration, which is where a site's mirror and proxy are set. */
export async function machineArchives(): Promise<Archives> {
  const listing = await runProgram('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  return archivesFrom(listing.stdout);
}

/** Pure part of `machineArchives`: one repository URI per line. Repositories that are not Debian's own are passed over. */
export function archivesFrom(listing: string): Archives {
  const archives: Archives = { debian: [], 'debian-security': [] };
  const add = (name: ArchiveName, base: string) => {
    if (!archives[name].includes(base)) archives[name].push(base);
  };
  for (const line of listing.split('\n')) {
    const match = /^(https?:\/\/.*\/(debian|debian-security))\/*$/.exec(line.trim());
    if (match?.[1] && (match[2] === 'debian' || match[2] === 'debian-security')) add(match[2], match[1]);
  }
  add('debian', `${DEFAULT_BASE}/debian`);
  add('debian-security', `${DEFAULT_BASE}/debian-security`);
  return archives;
}

/** Fetches what is not cached yet. Throws, naming the packages, when some cannot be had; what was fetched stays cached. */
export async function fetchPackages(
  packages: readonly LockedPackage[],
  directory: string,
  signal: AbortSignal,
): Promise<{ fetched: number }> {
  mkdirSync(join(directory, 'partial'), { recursive: true });
  let missing = packages.filter((p) => !isCached(p, directory));
  const wanted = missing.length;
  if (wanted === 0) return { fetched: 0 };
  const archives = await machineArchives();
  let lastWords = '';
  const attempts = Math.max(archives.debian.length, archives['debian-security'].length);
  for (let attempt = 0; attempt < attempts && missing.length > 0; attempt++) {
    const args = ['-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=2', 'download-file'];
    for (const p of missing) {
      const bases = archives[p.path.startsWith('debian-security/') ? 'debian-security' : 'debian'];
      const base = bases[Math.min(attempt, bases.length - 1)];
      args.push(`${base}${p.path.slice(p.path.indexOf('/'))}`, join(directory, 'partial', cachedName(p)), `SHA256:${p.sha256}`);
    }
    const result = await runProgram('/usr/lib/apt/apt-helper', args, { signal, env: { ...process.env, LC_ALL: 'C' } });
    lastWords = result.stderr;
    for (const p of missing) {
      const partial = join(directory, 'partial', cachedName(p));
      if (existsSync(partial) && sha256Of(partial) === p.sha256) renameSync(partial, join(directory, cachedName(p)));
    }
    missing = missing.filter((p) => !isCached(p, directory));
    signal.throwIfAborted();
  }
  rmSync(join(directory, 'partial'), { recursive: true, force: true });
  if (missing.length > 0) throw unavailable(missing, lastWords);
  return { fetched: wanted };
}

function isCached(locked: LockedPackage, directory: string): boolean {
  const file = join(directory, cachedName(locked));
  if (!existsSync(file)) return false;
  if (sha256Of(file) === locked.sha256) return true;
  rmSync(file);
  return false;
}

function sha256Of(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** Names listed in an error, so that the remedy below them stays in sight. */
const NAMES_LISTED = 8;

/** Two different troubles look alike to a download: no network at all, and a mirror that has moved on. */
function unavailable(missing: readonly LockedPackage[], lastWords: string): Error {
  const names = missing.slice(0, NAMES_LISTED).map((p) => `  ${p.name} ${p.version}\n`);
  const list = names.join('') + (missing.length > names.length ? `  and ${missing.length - names.length} more\n` : '');
  if (/\b404\b/.test(lastWords)) {
    return new Error(
      `the Debian mirror no longer has ${missing.length} of the engine's packages:\n${list}` +
        '  Remedy: Debian replaced them by newer versions; take those, and have them tested, with: node image/engine/build.ts --refresh-lock',
    );
  }
  const reason = lastWords.split('\n').find((line) => line.startsWith('E: ')) ?? lastWords.split('\n')[0] ?? '';
  return new Error(
    `cannot fetch ${missing.length} of the engine's packages from the Debian mirror:\n${list}  apt says: ${reason.replace(/^E: /, '')}\n` +
      '  Remedy: check the network with "apt-get update" (a proxy goes into /etc/apt/apt.conf.d), then run the same command again',
  );
}

/** A directory that apt accepts as a repository and that holds exactly these packages: the solver has nothing else to choose from. */
export async function makeRepository(packages: readonly LockedPackage[], debs: string, target: string, suite: string): Promise<void> {
  mkdirSync(target, { recursive: true });
  let index = '';
  for (const p of packages) {
    const from = join(debs, cachedName(p));
    // apt reads "%" in names as an escape: plain names here.
    const name = `${p.sha256}.deb`;
    copyFileSync(from, join(target, name), constants.COPYFILE_FICLONE);
    const control = await mustRun('dpkg-deb', ['--field', from]);
    index += `${control.trimEnd()}\nFilename: ./${name}\nSize: ${statSync(from).size}\nSHA256: ${p.sha256}\n\n`;
  }
  writeFileSync(join(target, 'Packages'), index);
  // mmdebstrap picks the essential packages by suite, which only a Release file can name.
  const sha256 = createHash('sha256').update(index).digest('hex');
  writeFileSync(
    join(target, 'Release'),
    `Origin: Debian\nSuite: ${suite}\nCodename: ${suite}\nSHA256:\n ${sha256} ${Buffer.byteLength(index)} Packages\n`,
  );
}
