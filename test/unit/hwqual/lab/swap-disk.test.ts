// Another disk in a CoServer's place: what the product reads in it is what was meant.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { decodeMetadataSlot, encodeMetadataSlot, METADATA_PAGE_BYTES } from '../../../../appliance/mirror/metadata-codec.ts';
import { labDisk } from '../../../../hwqual/lab/prepare.ts';
import { diskDigest, swapDisk } from '../../../../hwqual/lab/swap-disk.ts';

const SIZE_BYTES = 17 * 2 ** 20;
const PAIR = '0123456789abcdef';

function places(t: { teardown(f: () => unknown): unknown }) {
  const root = mkdtempSync(join(tmpdir(), 'swap-disk-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const found = { disks: join(root, 'disks'), state: join(root, 'state') };
  for (const folder of Object.values(found)) mkdirSync(folder);
  const disk = join(found.disks, 'disk0');
  writeFileSync(disk, 'ours');
  truncateSync(disk, SIZE_BYTES);
  const record = { pair: PAIR, current: '0000000000000007', base: null, history: [], inconsistent: false };
  const slot = encodeMetadataSlot({ counter: 3n, life: 9n, sizeBytes: SIZE_BYTES, disk: Buffer.alloc(32, 1), record });
  const regions = join(found.state, 'intervals.journal.regions');
  writeFileSync(regions, Buffer.concat([slot, slot]));
  return { ...found, disk, regions };
}

t.test("another pair's disk: both slots are whole and name another pair", async (t) => {
  const at = places(t);
  const [before, digest] = [statSync(at.disk).ino, await diskDigest(at.disk)];
  t.match(await swapDisk(at, 'otherPair'), /another pair's/);
  t.not(statSync(at.disk).ino, before, 'a disk of its own');
  t.not(await diskDigest(at.disk), digest);
  t.equal(statSync(at.disk).size, SIZE_BYTES);
  const bytes = readFileSync(at.regions);
  for (const slot of [0, 1]) {
    const found = decodeMetadataSlot(bytes.subarray(slot * METADATA_PAGE_BYTES, (slot + 1) * METADATA_PAGE_BYTES));
    t.match(found, { counter: 3n, sizeBytes: SIZE_BYTES, record: { pair: 'fedcba9876543210' } });
  }
});

t.test('another disk alone leaves the record; shrunk and grown it is the same file', async (t) => {
  const at = places(t);
  const record = readFileSync(at.regions);
  await swapDisk(at, 'otherDisk');
  t.ok(readFileSync(at.regions).equals(record));
  const { ino } = statSync(at.disk);
  const digest = await diskDigest(at.disk);
  await swapDisk(at, 'shrunk');
  t.match(statSync(at.disk), { ino, size: SIZE_BYTES / 2 });
  await swapDisk(at, 'grown');
  t.match(statSync(at.disk), { ino, size: SIZE_BYTES });
  t.not(await diskDigest(at.disk), digest, 'what was cut off is not there');
});

t.test('how a lab uses its disk', async (t) => {
  t.same(labDisk({}), { cache: 'buffered', durability: 'flushed' });
  t.same(labDisk({ TWINSTEP_CACHE: 'direct', TWINSTEP_DURABILITY: 'write-through' }), { cache: 'direct', durability: 'write-through' });
  t.throws(() => labDisk({ TWINSTEP_CACHE: 'none' }), /TWINSTEP_CACHE is 'none'/);
  t.throws(() => labDisk({ TWINSTEP_DURABILITY: 'fua' }), /TWINSTEP_DURABILITY is 'fua'/);
});
