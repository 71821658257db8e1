// What the guest trims reads as zero on both copies, and takes no space on either: by whatever way it gets there.
import { randomBytes } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { FileStore } from '../../../../drivers/block/index.ts';
import { MirrorPair, type Side, until } from './mirror-pair.ts';

const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
/** What the file system may need to say where the holes are. */
const MAP_BYTES = 8192;

function blocks(side: Side): number {
  return statSync(side.setup.diskPath).blocks * 512;
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(Buffer.alloc(bytes.length));
}

/** Both copies are full. */
async function full(t: { teardown(f: () => unknown): unknown }): Promise<MirrorPair> {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  const content = randomBytes(SIZE_BYTES);
  for (const side of [pair.a, pair.b]) writeFileSync(side.setup.diskPath, content);
  return pair;
}

async function canRelease(pair: MirrorPair): Promise<boolean> {
  const store = await FileStore.open({ path: `${pair.a.setup.diskPath}.probe`, sizeBytes: MIB });
  const can = await store.canRelease();
  await store.close();
  return can;
}

t.test('while both follow each other: directly, and through the journal', async (t) => {
  const pair = await full(t);
  if (!(await canRelease(pair))) return void t.comment('this file system cannot give space back');
  await pair.protect();
  const primary = await pair.a.connect();
  await primary.trim(2 * MIB, 4 * MIB);
  for (const side of [pair.a, pair.b]) t.ok(blocks(side) <= SIZE_BYTES - 4 * MIB + MAP_BYTES, `${blocks(side)} bytes in interval 0`);
  pair.a.interval.current = 1;
  await primary.trim(8 * MIB + 100, 4 * MIB, true);
  await primary.writeZeroes(13 * MIB, MIB, false, { noHole: true });
  t.notOk(isZero(pair.b.disk().subarray(9 * MIB, 10 * MIB)), 'not before the commit');
  await pair.checkpoint();
  await until(() => isZero(pair.b.disk().subarray(13 * MIB, 14 * MIB)), 'written back');
  t.ok(pair.a.disk().equals(pair.b.disk()), 'equal');
  for (const side of [pair.a, pair.b]) {
    t.ok(isZero(side.disk().subarray(8 * MIB + 100, 12 * MIB + 100)));
    t.ok(blocks(side) <= SIZE_BYTES - 8 * MIB + MAP_BYTES, `${blocks(side)} bytes after the checkpoint`);
    t.ok(blocks(side) >= SIZE_BYTES - 8 * MIB, 'zeroes without a hole keep their space');
  }
});

t.test('alone, then by the resync; and what the secondary trims, when it takes over', async (t) => {
  const pair = await full(t);
  if (!(await canRelease(pair))) return void t.comment('this file system cannot give space back');
  await pair.protect();
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await secondary.trim(0, 2 * MIB);
  t.ok(isZero(await secondary.read(0, MIB)), 'its own world');
  t.equal(blocks(pair.b), SIZE_BYTES, 'private');
  pair.fake.cut();
  await pair.b.mirror.call('takeOver', {});
  t.ok(blocks(pair.b) <= SIZE_BYTES - 2 * MIB + MAP_BYTES, `${blocks(pair.b)} bytes after the takeover`);
  await secondary.trim(4 * MIB, 4 * MIB);
  await pair.a.mirror.call('close', {});
  pair.fake.mend();
  await pair.a.mirror.call('startTarget', {});
  await pair.b.mirror.call('startSource', {});
  await pair.b.mirror.call('resync', {});
  t.ok(pair.a.disk().equals(pair.b.disk()), 'equal');
  for (const side of [pair.a, pair.b]) t.ok(blocks(side) <= SIZE_BYTES - 6 * MIB + MAP_BYTES, `${blocks(side)} bytes`);
});

t.test('a journal left by a crash gives the space back too', async (t) => {
  const pair = await full(t);
  if (!(await canRelease(pair))) return void t.comment('this file system cannot give space back');
  await pair.protect();
  const primary = await pair.a.connect();
  pair.a.interval.current = 1;
  await primary.trim(0, 4 * MIB);
  await primary.flush();
  await pair.b.commit.call('decide', { interval: 1 });
  // As a crash leaves it: decided, not applied. A second pair, with a full disk, finds the journal.
  const again = await full(t);
  for (const end of ['.0', '.1']) {
    const from = await FileStore.open({ path: `${pair.b.setup.journalPath}${end}`, sizeBytes: MIB });
    const to = await FileStore.open({ path: `${again.a.setup.journalPath}${end}`, sizeBytes: 1024 * MIB });
    await to.write(0, await from.read(0, MIB));
    await Promise.all([from.close(), to.close()]);
  }
  t.match(await again.a.mirror.call('open', {}), { committed: 1, replayed: 4 * MIB });
  t.ok(isZero(again.a.disk().subarray(0, 4 * MIB)));
  t.ok(blocks(again.a) <= SIZE_BYTES - 4 * MIB + MAP_BYTES, `${blocks(again.a)} bytes`);
});
