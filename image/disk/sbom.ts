// The software bill of materials, as CycloneDX 1.6: Debian packages by their locks, npm packages by package-lock.json. Pure; the same locks
// give the same text, so it carries no time and a serial number made of its content.
import type { LockedPackage } from '../engine/lock.ts';
import { fixedGuid } from './layout.ts';

/** The part of package-lock.json that is read: version 3 of its format. */
export interface NpmLock {
  packages: Record<
    string,
    { version?: string; dev?: boolean; optional?: boolean; license?: string; integrity?: string; os?: string[]; cpu?: string[] }
  >;
}

export function makeSbom(options: { version: string; debian: readonly LockedPackage[]; npm: NpmLock }): string {
  const { version, debian, npm } = options;
  const components = [...debian.map(debianComponent), ...npmComponents(npm)].sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
  const unique = components.filter((component, i) => component['bom-ref'] !== components[i - 1]?.['bom-ref']);
  const content = JSON.stringify(unique);
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${fixedGuid(content)}`,
    version: 1,
    metadata: { component: { type: 'operating-system', name: 'twinstep', version, 'bom-ref': `twinstep@${version}` } },
    components: unique,
  };
  return `${JSON.stringify(bom, null, 1)}\n`;
}

function debianComponent(p: LockedPackage) {
  const purl = `pkg:deb/debian/${encodeURIComponent(p.name)}@${encodeURIComponent(p.version)}?arch=${p.architecture}`;
  return { type: 'library', name: p.name, version: p.version, purl, 'bom-ref': purl, hashes: [{ alg: 'SHA-256', content: p.sha256 }] };
}

/** What only development needs is not in the bundle; what is for other machines is not, either. */
function npmComponents({ packages }: NpmLock) {
  return Object.entries(packages).flatMap(([path, p]) => {
    const name = path.replace(/^.*node_modules\//, '');
    const elsewhere = (p.os !== undefined && !p.os.includes('linux')) || (p.cpu !== undefined && !p.cpu.includes('x64'));
    if (path === '' || p.dev || elsewhere || p.version === undefined) return [];
    const purl = `pkg:npm/${name.replace('@', '%40')}@${p.version}`;
    const [, sha512] = /^sha512-(.+)$/.exec(p.integrity ?? '') ?? [];
    const hashes = sha512 ? [{ alg: 'SHA-512', content: Buffer.from(sha512, 'base64').toString('hex') }] : [];
    const licenses = p.license ? [{ expression: p.license }] : [];
    return [{ type: 'library', name, version: p.version, purl, 'bom-ref': purl, hashes, licenses }];
  });
}
