// Blocks that the disk has lost, under restore points: a point has what was written, if the partner still has it, and never anything else.
import { closeSync, openSync, writeSync } from 'node:fs';
import t from 'tap';
import { NbdClient } from '../../../../../drivers/nbd/index.ts';
import { MirrorPair, type Side } from '../mirror-pair.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

const BLOCK = 4096;
const SIZE_BYTES = 64 * BLOCK;
const ONES = Buffer.alloc(SIZE_BYTES, 1);
const options = { sizeBytes: SIZE_BYTES, points: { directory: '', maximumBytes: 1 << 30, reserveBytes: 0 } };

/** Below everything that the mirror knows of the disk. */
function rot(side: Side, block: number): void {
  const fd = openSync(side.setup.diskPath, 'r+');
  writeSync(fd, Buffer.alloc(100, 0x55), 0, 100, block * BLOCK);
  closeSync(fd);
}

async function contentOf(side: Side, name: string): Promise<Buffer> {
  const { socketPath, exportName } = await side.mirror.call('exportPoint', { name });
  const client = await NbdClient.connect(socketPath, exportName);
  try {
    return await client.read(0, SIZE_BYTES);
  } finally {
    client.destroy();
    await side.mirror.call('endPointExport', { name });
  }
}

const troubleOf = async (side: Side): Promise<string | undefined> => (await side.mirror.call('listPoints', {}))?.points[0]?.trouble;

t.test('a neighbour of what is overwritten is lost: the point has it, and so has its export where nothing was overwritten', async (t) => {
  const pair = new MirrorPair(options);
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await pair.a.connect();
  await guest.write(0, ONES);
  await pair.a.mirror.call('takePoint', { name: 'one', kind: 'operator', takenAt: 1 });
  pair.a.interval.current = 1;
  rot(pair.a, 7);
  rot(pair.a, 40);
  await guest.write(2 * BLOCK, Buffer.alloc(BLOCK, 2));
  t.ok((await contentOf(pair.a, 'one')).equals(ONES));
  t.equal(await troubleOf(pair.a), '');
  // The guest's own read repairs it: the write took nothing of that away.
  t.ok((await guest.read(7 * BLOCK, BLOCK)).equals(Buffer.alloc(BLOCK, 1)));
  await pair.checkpoint();
  t.ok((await contentOf(pair.b, 'one')).equals(ONES));
});

t.test('overwritten itself, when the partner has what is newer already: in trouble, and nothing wrong is read', async (t) => {
  const pair = new MirrorPair(options);
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await pair.a.connect();
  await guest.write(0, ONES);
  await pair.a.mirror.call('takePoint', { name: 'one', kind: 'operator', takenAt: 1 });
  pair.a.interval.current = 1;
  rot(pair.a, 7);
  await guest.write(7 * BLOCK, Buffer.alloc(BLOCK, 2));
  const read = await contentOf(pair.a, 'one').catch((e: Error) => e);
  t.ok(read instanceof Error || read.equals(ONES), 'right, or refused');
  t.ok((await guest.read(7 * BLOCK, BLOCK)).equals(Buffer.alloc(BLOCK, 2)), 'the guest has its write');
  await pair.checkpoint();
  t.ok((await contentOf(pair.b, 'one')).equals(ONES), 'the other copy has the point');
});

t.test('alone: in trouble', async (t) => {
  const pair = new MirrorPair(options);
  t.teardown(() => pair.end());
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const guest = await pair.a.connect();
  await guest.write(0, ONES);
  await pair.a.mirror.call('takePoint', { name: 'one', kind: 'operator', takenAt: 1 });
  rot(pair.a, 7);
  await guest.write(2 * BLOCK, Buffer.alloc(BLOCK, 2));
  await t.rejects(contentOf(pair.a, 'one'));
  t.match(await troubleOf(pair.a), /could not be read from the disk/);
});

t.test('both copies have the same, and no checksum fits: made anew, and no restore point is in trouble for it', async (t) => {
  const pair = new MirrorPair({ ...options, setup: { scrub: { rateBytesPerS: 1e12, everyHours: 0 } } });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await pair.a.connect();
  await guest.write(0, ONES);
  await pair.a.mirror.call('takePoint', { name: 'one', kind: 'operator', takenAt: 1 });
  pair.a.interval.current = 1;
  for (const side of [pair.a, pair.b]) rot(side, 7);
  const want = pair.a.disk();
  await pair.a.mirror.call('startScrub', {});
  for (;;) {
    const { scrub } = await pair.a.mirror.call('status', {});
    if (scrub && scrub.endedAt !== null) {
      t.match(scrub, { state: 'done', differed: 1, repaired: 1 });
      break;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok((await guest.read(0, SIZE_BYTES)).equals(want));
  t.same(pair.a.repaired, [], 'no block was lost any more');
  await guest.write(6 * BLOCK, Buffer.alloc(BLOCK, 2));
  await pair.checkpoint();
  for (const side of [pair.a, pair.b]) {
    t.ok((await contentOf(side, 'one')).equals(want));
    t.equal(await troubleOf(side), '');
  }
});
