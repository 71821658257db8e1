import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { deviceNumbers, disksBelow } from '../../../../drivers/block/index.ts';

const MADE_OF = 'slaves'; // its name in sysfs

/** A /sys in which the file system of this folder is on that device. */
function sys(t: { teardown(fn: () => void): void }, device: string) {
  const root = mkdtempSync(join(tmpdir(), 'twinstep-below-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const put = (path: string, text = '') => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const { major, minor } = deviceNumbers(statSync(root).dev);
  mkdirSync(join(root, 'dev/block'), { recursive: true });
  symlinkSync(join(root, device), join(root, 'dev/block', `${major}:${minor}`));
  return { root, put };
}

t.test('a file on a partition, and one that is not there yet', async (t) => {
  const { root, put } = sys(t, 'devices/nvme/nvme0n1/nvme0n1p2');
  put('devices/nvme/nvme0n1/nvme0n1p2/partition', '2\n');
  t.strictSame(await disksBelow(root, root), ['/dev/nvme0n1']);
  t.strictSame(await disksBelow(join(root, 'disks/not/yet'), root), ['/dev/nvme0n1']);
});

t.test('through device mapper and md to every disk, and through a loop device', async (t) => {
  const { root, put } = sys(t, 'devices/virtual/dm-0');
  put('devices/a/sda/sda1/partition', '1\n');
  put('devices/b/cciss!c0d0/size', '1\n');
  mkdirSync(join(root, `devices/virtual/dm-0/${MADE_OF}`), { recursive: true });
  mkdirSync(join(root, `devices/virtual/md0/${MADE_OF}`), { recursive: true });
  symlinkSync(join(root, 'devices/virtual/md0'), join(root, `devices/virtual/dm-0/${MADE_OF}/md0`));
  symlinkSync(join(root, 'devices/a/sda/sda1'), join(root, `devices/virtual/md0/${MADE_OF}/sda1`));
  symlinkSync(join(root, 'devices/b/cciss!c0d0'), join(root, `devices/virtual/md0/${MADE_OF}/cciss!c0d0`));
  t.strictSame(await disksBelow(root, root), ['/dev/cciss/c0d0', '/dev/sda']);
});

t.test('a loop device that lies on itself ends, and memory is on no disk', async (t) => {
  const { root, put } = sys(t, 'devices/virtual/loop0');
  put('devices/virtual/loop0/loop/backing_file', `${root}\n`);
  t.equal(await disksBelow(root, root), null);
  t.equal(await disksBelow('/proc/version'), null);
});
