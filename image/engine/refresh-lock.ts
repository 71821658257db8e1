// Makes the engine root's lock anew: asks Debian which versions are current, with an apt that has nothing to do with the machine's own.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machineArchives } from './archive.ts';
import { formatLock, type LockedPackage, lockFromPrintUris } from './lock.ts';
import { mustRun } from './run-program.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Debian 13. */
export const RELEASE = 'trixie';

/** The names in a folder's packages.txt, without the reasons. */
export function wantedPackages(folder: string = import.meta.dirname): string[] {
  return readFileSync(join(folder, 'packages.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(/\s/, 1)[0] ?? '');
}

/**
 * Resolves packages.txt and writes packages.lock beside it. Needs the network. `closure`: what they need and the essential set are added,
 * for a root that is installed; otherwise exactly these, for a tree that is only unpacked.
 */
export async function refreshLock(
  signal: AbortSignal,
  { folder = import.meta.dirname, closure = true }: { folder?: string; closure?: boolean } = {},
): Promise<LockedPackage[]> {
  if (!existsSync(KEYRING)) throw new Error(`${KEYRING} is missing: apt-get install debian-archive-keyring`);
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-apt-'));
  try {
    const env = { ...process.env, LC_ALL: 'C', APT_CONFIG: await privateApt(directory) };
    await mustRun('apt-get', ['update', '--error-on=any'], { env, signal });
    const ask = closure ? ['install', '--yes', '-qq', '--print-uris', '?essential'] : ['download', '-qq', '--print-uris'];
    const packages = lockFromPrintUris(await mustRun('apt-get', [...ask, ...wantedPackages(folder)], { env, signal }));
    writeFileSync(join(folder, 'packages.lock'), formatLock(packages));
    return packages;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes a configuration under which apt sees an empty machine and the engine's three suites, and nothing of this one. */
async function privateApt(directory: string): Promise<string> {
  for (const part of ['lists/partial', 'archives/partial']) mkdirSync(join(directory, part), { recursive: true });
  const archives = await machineArchives();
  const source = (base: string | undefined, suite: string) => `deb [signed-by=${KEYRING}] ${base} ${suite} main non-free-firmware\n`;
  writeFileSync(
    join(directory, 'sources.list'),
    // The last base is Debian's own: the machine's mirror may carry the machine's release only.
    source(archives.debian.at(-1), RELEASE) +
      source(archives.debian.at(-1), `${RELEASE}-backports`) +
      source(archives['debian-security'].at(-1), `${RELEASE}-security`),
  );
  writeFileSync(join(directory, 'status'), '');
  const settings = {
    'Dir::State': directory,
    'Dir::State::status': join(directory, 'status'),
    'Dir::State::Lists': join(directory, 'lists'),
    'Dir::Cache': directory,
    'Dir::Cache::Archives': join(directory, 'archives'),
    'Dir::Etc::SourceList': join(directory, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Preferences': join(import.meta.dirname, 'preferences'),
    'Dir::Etc::PreferencesParts': '/dev/null',
    'APT::Architecture': 'amd64',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    // So that the hashes printed are SHA-256, whatever apt's version prints by default.
    'Acquire::ForceHash': 'SHA256',
    // apt counts itself as essential; a root that is rebuilt, never upgraded, has no use for it.
    'pkgCacheGen::ForceEssential': 'none',
  };
  const file = join(directory, 'apt.conf');
  writeFileSync(
    file,
    `${Object.entries(settings)
      .map(([key, value]) => `${key} "${value}";\n`)
      .join('')}APT::Architectures { "amd64"; };\n`,
  );
  return file;
}
