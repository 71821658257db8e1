// The engine root's lock file: which packages it is made of, byte for byte. Pure: text in, values out.
//
// One line per package, sorted: name, version, architecture, SHA-256 of the .deb, and its path below the Debian mirror
// (`debian/...` or `debian-security/...`), so that it can be fetched without asking any index. The hash is what is trusted.

export interface LockedPackage {
  name: string;
  version: string;
  architecture: string;
  /** 64 hex digits. */
  sha256: string;
  /** `debian/pool/...` or `debian-security/pool/...`, percent-encoded as in a URL. */
  path: string;
}

const HEADER = `# The engine root, package by package: name version architecture sha256 path
# Made by: node image/engine/build.ts --refresh-lock
`;

/** Throws with the line's number when the text is not a lock file. */
export function parseLock(text: string): LockedPackage[] {
  const packages: LockedPackage[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [name, version, architecture, sha256, path, ...rest] = line.split(' ');
    if (!name || !version || !architecture || !sha256 || !path || rest.length > 0) throw malformed(index, 'expected five words');
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw malformed(index, `"${sha256}" is not a SHA-256`);
    if (!/^debian(-security)?\/pool\/[^/].*\.deb$/.test(path) || path.includes('..'))
      throw malformed(index, `"${path}" is not a path below a mirror`);
    packages.push({ name, version, architecture, sha256, path });
  }
  if (packages.length === 0) throw new Error('packages.lock is empty; make it anew with: node image/engine/build.ts --refresh-lock');
  return packages;
}

function malformed(index: number, what: string): Error {
  return new Error(`packages.lock, line ${index + 1}: ${what}; make it anew with: node image/engine/build.ts --refresh-lock`);
}

export function formatLock(packages: readonly LockedPackage[]): string {
  const lines = packages.map((p) => `${p.name} ${p.version} ${p.architecture} ${p.sha256} ${p.path}\n`);
  return HEADER + lines.sort((a, b) => (a < b ? -1 : 1)).join('');
}

/** The name under which a .deb is cached: as in the archive, so that a person can read it. */
export function cachedName(locked: LockedPackage): string {
  return decodeURIComponent(locked.path.slice(locked.path.lastIndexOf('/') + 1));
}

/**
 * Reads what `apt-get --print-uris install` prints: `'URL' name_version_arch.deb size SHA256:hash`, one package per line.
 * Lines of other shapes are refused: a lock with a hole would be worse than none.
 */
export function lockFromPrintUris(text: string): LockedPackage[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const match = /^'[a-z]+:\/\/[^']*?\/(debian|debian-security)\/+(pool\/[^']+)' (\S+) \d+ SHA256:([0-9a-f]{64})$/.exec(line);
      const [, archive, pool, file, sha256] = match ?? [];
      const [name, version, architecture] = decodeURIComponent(file ?? '')
        .replace(/\.deb$/, '')
        .split('_');
      if (!archive || !pool || !sha256 || !name || !version || !architecture)
        throw new Error(`apt printed a line that is no package: ${line}`);
      return { name, version, architecture, sha256, path: `${archive}/${pool}` };
    });
}

/** What differs, one sentence per package; empty: the same. */
export function compareInstalled(locked: readonly LockedPackage[], installed: ReadonlyMap<string, string>): string[] {
  const wanted = new Map(locked.map((p) => [p.name, p.version]));
  const differences: string[] = [];
  for (const [name, version] of wanted) {
    const found = installed.get(name);
    if (found === undefined) differences.push(`${name} ${version} is in the lock but was not installed`);
    else if (found !== version) differences.push(`${name} is ${found}, the lock says ${version}`);
  }
  for (const [name, version] of installed)
    if (!wanted.has(name)) differences.push(`${name} ${version} was installed but is not in the lock`);
  return differences;
}
