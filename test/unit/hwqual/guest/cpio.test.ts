import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';
import { cpioArchive } from '../../../../hwqual/lab/guest/cpio.ts';

t.test('one entry, byte by byte', async (t) => {
  const archive = cpioArchive([{ kind: 'file', path: 'a', mode: 0o644, data: Buffer.from('xyz') }]);
  // ino 1, mode 100644, uid 0, gid 0, nlink 1, mtime 0, filesize 3, dev 0:0, rdev 0:0, namesize 2, check 0
  const header = '07070100000001000081a40000000000000000000000010000000000000003000000000000000000000000000000000000000200000000';
  t.equal(archive.toString('latin1', 0, 110), header);
  t.equal(archive.toString('latin1', 110, 116), 'a\0xyz\0', 'name with NUL fills the header to 112, data is padded to 4');
  t.match(archive.toString('latin1', 116), /^070701.*TRAILER!!!\0/s);
  t.equal(archive.length % 4, 0);
});

t.test('modes and device numbers', async (t) => {
  const mode = (entry: Parameters<typeof cpioArchive>[0][number]): string => cpioArchive([entry]).toString('latin1', 14, 22);
  t.equal(mode({ kind: 'directory', path: 'd', mode: 0o755 }), '000041ed');
  t.equal(mode({ kind: 'symlink', path: 'l', target: 't' }), '0000a1ff');
  const device = cpioArchive([{ kind: 'character', path: 'c', mode: 0o600, major: 5, minor: 1 }]).toString('latin1', 0, 110);
  t.equal(device.slice(14, 22), '00002180');
  t.equal(device.slice(78, 94), '0000000500000001');
});

t.test('paths must be relative', async (t) => {
  t.throws(() => cpioArchive([{ kind: 'directory', path: '/d', mode: 0o755 }]), /relative/);
  t.throws(() => cpioArchive([{ kind: 'directory', path: '', mode: 0o755 }]), /relative/);
});

const hasCpio = spawnSync('cpio', ['--version'], { stdio: 'ignore' }).status === 0;

t.test('another implementation reads it', { skip: hasCpio ? false : 'no cpio on this machine' }, async (t) => {
  const archive = cpioArchive([
    { kind: 'directory', path: 'd', mode: 0o755 },
    { kind: 'file', path: 'd/f', mode: 0o600, data: Buffer.from('hello') },
  ]);
  t.equal(execFileSync('cpio', ['-t', '--quiet'], { input: archive }).toString(), 'd\nd/f\n');
});
