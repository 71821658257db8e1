// The load's disk as it is made, and that a check of it finds damage in either kind of file system: a campaign's "clean" rests on that.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkDisk, createLoadDisk } from '../../hwqual/lab/guest/data-disk.ts';
import { readPartitionTable } from '../../hwqual/lab/guest/partitions.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const root = engineRootPath();
const missing = [`${root}/usr/sbin/e2fsck`, '/usr/sbin/mkfs.xfs', '/usr/sbin/xfs_repair'].find((path) => !existsSync(path));
const skip = process.getuid?.() !== 0 ? 'needs root' : missing === undefined ? false : `needs ${missing}`;
/** Free blocks, as the superblock of an ext4 counts them, and as the first allocation group of an xfs does. */
const FREE_BLOCKS = { ext4: 1024 + 12, xfs: 512 + 52 };
const MAGIC = { ext4: { at: 1024 + 56, bytes: '53ef' }, xfs: { at: 0, bytes: '58465342' } };

t.test('ext4, ext4 and xfs: clean when made, and damage is found in each', { skip, timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'load-disk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'disk');
  await createLoadDisk({ root, path });
  const disk = await open(path, 'r+');
  t.teardown(() => disk.close());
  const bytesAt = async (at: number, length: number) => (await disk.read(Buffer.alloc(length), 0, length, at)).buffer;
  const partitions = readPartitionTable(await bytesAt(0, 512));
  t.equal(partitions.length, 3);
  t.match(await checkDisk({ root, path }), { clean: true });
  for (const [i, type] of (['ext4', 'ext4', 'xfs'] as const).entries()) {
    const start = partitions[i]?.startBytes ?? 0;
    const { at, bytes } = MAGIC[type];
    t.equal((await bytesAt(start + at, bytes.length / 2)).toString('hex'), bytes, `partition ${i + 1} is ${type}`);
    const place = start + FREE_BLOCKS[type];
    const [before] = await bytesAt(place, 1);
    await disk.write(Buffer.of((before ?? 0) ^ 0x55), 0, 1, place);
    const found = await checkDisk({ root, path });
    t.equal(found.clean, false, `damage of partition ${i + 1} is found`);
    await disk.write(Buffer.of(before ?? 0), 0, 1, place);
  }
  t.match(await checkDisk({ root, path }), { clean: true }, 'and it was only that');
});
