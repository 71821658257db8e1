import t from 'tap';
import { archivesFrom } from '../../../image/engine/archive.ts';
import { cachedName, compareInstalled, formatLock, lockFromPrintUris, parseLock } from '../../../image/engine/lock.ts';

const HASH = 'a'.repeat(64);
const QEMU = {
  name: 'qemu-system-x86',
  version: '1:11.1.3+ds-1~bpo13+1',
  architecture: 'amd64',
  sha256: HASH,
  path: 'debian/pool/main/q/qemu/qemu-system-x86_11.1.3%2bds-1%7ebpo13%2b1_amd64.deb',
};

t.test('a lock file read is the lock file written', async (t) => {
  const base = { name: 'base-files', version: '13.8', architecture: 'amd64', sha256: HASH, path: 'debian-security/pool/b.deb' };
  const text = formatLock([QEMU, base]);
  t.strictSame(parseLock(text), [base, QEMU], 'sorted');
  t.equal(formatLock(parseLock(text)), text);
});

t.test('what is not a lock file is refused with its line and the remedy', async (t) => {
  const line = formatLock([QEMU]).trimEnd().split('\n').at(-1) ?? '';
  for (const [text, complaint] of [
    ['', /packages.lock is empty.*--refresh-lock/],
    ['# only a comment\n', /empty/],
    [`# x\n${line} more\n`, /line 2: expected five words.*--refresh-lock/],
    [line.replace(HASH, 'abc'), /line 1: "abc" is not a SHA-256/],
    [line.replace('debian/pool', 'debian/pool/../../../etc'), /is not a path below a mirror/],
    [line.replace('debian/pool', 'elsewhere/pool'), /is not a path below a mirror/],
  ] as const)
    t.throws(() => parseLock(text), { message: complaint });
});

t.test("apt's listing becomes a lock; a line of another shape is an error", async (t) => {
  const listing =
    `'http://deb.debian.org/debian/pool/main/q/qemu/qemu-system-x86_11.1.3%2bds-1%7ebpo13%2b1_amd64.deb' ` +
    `qemu-system-x86_1%3a11.1.3+ds-1~bpo13+1_amd64.deb 10377056 SHA256:${HASH}\n`;
  t.strictSame(lockFromPrintUris(listing), [QEMU]);
  t.equal(cachedName(QEMU), 'qemu-system-x86_11.1.3+ds-1~bpo13+1_amd64.deb');
  t.throws(() => lockFromPrintUris(listing.replace('SHA256', 'MD5Sum')), { message: /is no package/ });
});

t.test('what was installed is compared with the lock both ways', async (t) => {
  t.strictSame(compareInstalled([QEMU], new Map([[QEMU.name, QEMU.version]])), []);
  t.strictSame(compareInstalled([QEMU], new Map([[QEMU.name, '1:10.0']])), [`${QEMU.name} is 1:10.0, the lock says ${QEMU.version}`]);
  t.strictSame(compareInstalled([QEMU], new Map([['apt', '3']])), [
    `${QEMU.name} ${QEMU.version} is in the lock but was not installed`,
    'apt 3 was installed but is not in the lock',
  ]);
});

t.test("the machine's mirror first, then Debian's own; other people's repositories never", async (t) => {
  const listing = [
    'http://mirror.example/debian/',
    'http://mirror.example/debian/',
    'http://mirror.example/debian-security/',
    'https://packages.example/apt/',
  ].join('\n');
  t.strictSame(archivesFrom(listing), {
    debian: ['http://mirror.example/debian', 'http://deb.debian.org/debian'],
    'debian-security': ['http://mirror.example/debian-security', 'http://deb.debian.org/debian-security'],
  });
  t.strictSame(archivesFrom(''), {
    debian: ['http://deb.debian.org/debian'],
    'debian-security': ['http://deb.debian.org/debian-security'],
  });
});
