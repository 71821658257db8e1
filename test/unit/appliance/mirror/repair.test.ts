// Blocks that rot, are misdirected or cannot be read on one copy: the guest reads what it wrote, and the copy gets it back.
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import t from 'tap';
import { type BlockStore, FileStore, type FileStoreOptions, StoreError } from '../../../../drivers/block/index.ts';
import type { NbdClient } from '../../../../drivers/nbd/index.ts';
import { random } from './losable-store.ts';
import { MirrorPair, type Side, until } from './mirror-pair.ts';

const BLOCK = 4096;
const SIZE_BYTES = 64 * BLOCK;
const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value);

/** Below everything that the mirror knows of the disk. */
function rot(side: Side, block: number, at = 100): void {
  const fd = openSync(side.setup.diskPath, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, block * BLOCK + at);
  byte.writeUInt8(byte.readUInt8(0) ^ 0x20, 0);
  writeSync(fd, byte, 0, 1, block * BLOCK + at);
  closeSync(fd);
}

/** Blocks of a side's disk that cannot be read until they are written whole. */
class BadBlocks {
  readonly blocks = new Map<string, Set<number>>();

  of(side: 'A' | 'B'): Set<number> {
    const found = this.blocks.get(`disk-${side}`) ?? new Set<number>();
    this.blocks.set(`disk-${side}`, found);
    return found;
  }

  readonly openStore = async (o: FileStoreOptions): Promise<BlockStore> => {
    const store = await FileStore.open(o);
    const bad = this.blocks.get(o.path.slice(-'disk-A'.length)) ?? new Set<number>();
    const { read, write } = store;
    store.read = async (offset, length) => {
      for (const b of bad)
        if (b * BLOCK < offset + length && (b + 1) * BLOCK > offset) throw new StoreError('io', 'read', b * BLOCK, 'Input/output error');
      return await read.call(store, offset, length);
    };
    store.write = async (offset, ...parts) => {
      await write.call(store, offset, ...parts);
      const end = parts.reduce((sum, p) => sum + p.length, offset);
      for (const b of bad) if (b * BLOCK >= offset && (b + 1) * BLOCK <= end) bad.delete(b);
    };
    return store;
  };
}

async function written(pair: MirrorPair, value = 1): Promise<NbdClient> {
  const guest = await pair.a.connect();
  await guest.write(0, bytes(SIZE_BYTES, value));
  return guest;
}

t.test('rot on the disk of the source: the guest reads what it wrote, and the block is written again', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair);
  rot(pair.a, 7);
  rot(pair.a, 8);
  rot(pair.a, 30);
  t.ok((await guest.read(0, SIZE_BYTES)).equals(bytes(SIZE_BYTES, 1)));
  await until(() => pair.a.repaired.length === 2, 'the repairs are reported');
  t.same(pair.a.repaired, [
    { offset: 7 * BLOCK, lengthBytes: 2 * BLOCK, side: 'own', why: 'it was not what was written there', foundBy: 'read' },
    { offset: 30 * BLOCK, lengthBytes: BLOCK, side: 'own', why: 'it was not what was written there', foundBy: 'read' },
  ]);
  t.ok(pair.a.disk().equals(bytes(SIZE_BYTES, 1)));
  t.same([pair.a.unreadable, pair.a.diskErrors, pair.a.lost], [[], [], []]);
});

t.test('a block that cannot be read; a part of one is asked for', async (t) => {
  const bad = new BadBlocks();
  const blocks = bad.of('A');
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: bad.openStore });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair, 3);
  blocks.add(5);
  t.ok((await guest.read(5 * BLOCK + 512, 1024)).equals(bytes(1024, 3)));
  await until(() => pair.a.repaired.length === 1, 'the repair is reported');
  t.match(pair.a.repaired, [{ offset: 5 * BLOCK, side: 'own', why: 'it could not be read' }]);
  t.equal(blocks.size, 0);
  t.same([pair.a.unreadable, pair.a.diskErrors], [[], []]);
});

t.test('in lockstep the primary gets what it wrote last, whichever interval that was', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await written(pair);
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await guest.write(2 * BLOCK, bytes(BLOCK, 2));
  await guest.write(2 * BLOCK + 1024, bytes(512, 3));
  await pair.checkpoint();
  await guest.write(2 * BLOCK + 2048, bytes(512, 4));
  await guest.writeZeroes(3 * BLOCK, BLOCK);
  // The secondary's own world is nobody else's.
  await secondary.write(2 * BLOCK, bytes(2 * BLOCK, 9));
  const want = await guest.read(0, SIZE_BYTES);
  for (const b of [1, 2, 3]) rot(pair.a, b);
  t.ok((await guest.read(0, SIZE_BYTES)).equals(want));
  t.ok(pair.a.disk().equals(want));
  await pair.checkpoint();
  t.ok((await secondary.read(0, SIZE_BYTES)).equals(want));
  t.same(pair.a.unreadable, []);
});

t.test('rot on the disk of the replica: its guest reads what was committed, and the source sends the block again', async (t) => {
  const bad = new BadBlocks();
  const blocks = bad.of('B');
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: bad.openStore });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await written(pair);
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await guest.write(BLOCK, bytes(BLOCK, 2));
  await pair.checkpoint();
  await guest.write(9 * BLOCK, bytes(BLOCK, 5));
  rot(pair.b, 4);
  blocks.add(6);
  t.ok((await secondary.read(0, 9 * BLOCK)).equals(Buffer.concat([bytes(BLOCK, 1), bytes(BLOCK, 2), bytes(7 * BLOCK, 1)])));
  await until(() => pair.a.repaired.length === 2, 'both blocks are written again');
  t.match(pair.a.repaired, [
    { offset: 4 * BLOCK, side: 'partner' },
    { offset: 6 * BLOCK, side: 'partner' },
  ]);
  t.equal(blocks.size, 0);
  t.ok(
    pair.b
      .disk()
      .subarray(4 * BLOCK, 7 * BLOCK)
      .equals(bytes(3 * BLOCK, 1)),
  );
  // What the primary has there now is not committed, and what was committed is lost.
  rot(pair.b, 9);
  await t.rejects(secondary.read(8 * BLOCK, 2 * BLOCK), { code: 'EIO' });
  await until(() => pair.b.unreadable.length > 0, 'that is reported');
  t.match(pair.b.unreadable, [{ offset: 9 * BLOCK, side: 'own' }]);
  await pair.checkpoint();
  t.ok((await secondary.read(8 * BLOCK, 2 * BLOCK)).equals(Buffer.concat([bytes(BLOCK, 1), bytes(BLOCK, 5)])), 'the next commit heals it');
  t.same([pair.a.lost, pair.a.diskErrors, pair.b.diskErrors], [[], [], []]);
});

t.test('lost on both copies: an error for that block only, until it is written', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  const found: unknown[] = [];
  pair.a.mirror.on('copiesDiffer', (d) => found.push(d));
  await pair.equalise();
  const guest = await written(pair);
  rot(pair.a, 7);
  rot(pair.b, 7, 200);
  rot(pair.a, 8);
  await t.rejects(guest.read(0, SIZE_BYTES), { code: 'EIO' });
  await until(() => found.length > 0, 'that is reported');
  t.same([found, pair.a.unreadable], [[{ offset: 7 * BLOCK, fits: 'neither' }], []]);
  t.match(pair.a.repaired, [{ offset: 8 * BLOCK, lengthBytes: BLOCK }]);
  t.ok((await guest.read(0, 7 * BLOCK)).equals(bytes(7 * BLOCK, 1)));
  await guest.write(7 * BLOCK + 100, bytes(100, 2));
  await t.rejects(guest.read(7 * BLOCK, BLOCK), { code: 'EIO' }, 'a part of it does not make it good');
  await guest.write(7 * BLOCK, bytes(BLOCK, 4));
  t.equal((await guest.read(7 * BLOCK, BLOCK))[5], 4);
  t.same([pair.a.lost, pair.a.diskErrors], [[], []]);
});

t.test('both copies have the same bytes, and the sum of neither fits them: they are read, and the sum is made anew', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair);
  rot(pair.a, 7);
  rot(pair.b, 7);
  rot(pair.a, 8);
  rot(pair.b, 9);
  const expected = bytes(SIZE_BYTES, 1);
  expected.writeUInt8(1 ^ 0x20, 7 * BLOCK + 100);
  t.ok((await guest.read(0, SIZE_BYTES)).equals(expected));
  await until(() => pair.a.repaired.length > 0, 'the repair is reported');
  t.match(pair.a.repaired, [{ offset: 7 * BLOCK, lengthBytes: 2 * BLOCK, side: 'own' }]);
  t.same([pair.a.unreadable, pair.a.diskErrors, pair.a.lost], [[], [], []]);
});

t.test('alone: an error for the block, and it is said', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.a.mirror.call('serveSolo', {});
  const guest = await written(pair);
  rot(pair.a, 7);
  await t.rejects(guest.read(6 * BLOCK, 4 * BLOCK), { code: 'EIO' });
  await until(() => pair.a.unreadable.length > 0, 'that is reported');
  t.same(pair.a.unreadable, [{ offset: 7 * BLOCK, lengthBytes: BLOCK, side: 'own' }]);
  t.equal((await guest.read(6 * BLOCK, BLOCK))[0], 1);
  await t.rejects(pair.a.mirror.call('repairBlock', { offset: 7 * BLOCK, from: 'partner' }), /not 'source'/);
});

t.test('a write that is damaged on its way is refused and stored nowhere', async (t) => {
  for (const interval of [0, 1]) {
    const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
    t.teardown(() => pair.end());
    await pair.protect();
    const guest = await written(pair);
    pair.a.interval.current = interval;
    const send = pair.fake.a.send.bind(pair.fake.a);
    pair.fake.a.send = (...parts) => {
      const message = Buffer.concat(parts);
      if (message[0] === 2 && message.length > BLOCK) message.writeUInt8(message.readUInt8(2000) ^ 1, 2000);
      return send(message);
    };
    const held = guest.write(8 * BLOCK, bytes(BLOCK, 2));
    await until(() => pair.a.lost.length > 0, 'the copy counts as not following');
    t.match(pair.a.lost[0], /damaged on its way to the partner.*not stored/);
    t.ok(pair.b.disk().equals(bytes(SIZE_BYTES, 1)));
    t.equal((await pair.b.mirror.call('status', {})).journalBytes, 0);
    await pair.a.mirror.call('goSolo', {});
    await held;
  }
});

t.test('repairBlock: either copy from the other, never from one that has lost it', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.equalise();
  await written(pair);
  const order = (block: number, from: 'own' | 'partner'): Promise<void> =>
    pair.a.mirror.call('repairBlock', { offset: block * BLOCK + 17, from });
  rot(pair.a, 3);
  rot(pair.b, 4);
  await order(3, 'partner');
  await order(4, 'own');
  t.ok(pair.a.disk().equals(bytes(SIZE_BYTES, 1)));
  t.ok(pair.b.disk().equals(bytes(SIZE_BYTES, 1)));
  await until(() => pair.a.repaired.length === 2, 'both are reported');
  t.match(pair.a.repaired, [
    { offset: 3 * BLOCK, side: 'own' },
    { offset: 4 * BLOCK, side: 'partner' },
  ]);
  rot(pair.a, 5);
  rot(pair.b, 6);
  await t.rejects(order(5, 'own'), /is wrong here too/);
  await t.rejects(order(6, 'partner'), /is wrong there too/);
});

t.test('repairBlock: a partner that is not equal yet has nothing to repair with, unless its bytes are what was lost', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair);
  await pair.b.mirror.call('close', {});
  await pair.a.mirror.call('goSolo', {});
  await guest.write(3 * BLOCK, bytes(BLOCK, 2));
  await pair.b.mirror.call('startTarget', {});
  await pair.a.mirror.call('startSource', {});
  rot(pair.a, 3);
  rot(pair.a, 4);
  const order = (block: number): Promise<void> => pair.a.mirror.call('repairBlock', { offset: block * BLOCK, from: 'partner' });
  const before = pair.a.disk();
  await t.rejects(order(3), /not equal/);
  t.ok(pair.a.disk().equals(before), 'nothing was written');
  await order(4);
  t.ok((await guest.read(4 * BLOCK, BLOCK)).equals(bytes(BLOCK, 1)));
  await t.rejects(guest.read(3 * BLOCK, BLOCK));
});

t.test('a block that is lost, and then written to in part, is mended at once: the partner may be lost next', async (t) => {
  const bad = new BadBlocks();
  const blocks = bad.of('A');
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: bad.openStore });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair);
  blocks.add(5);
  await guest.write(5 * BLOCK + 1024, bytes(512, 2));
  // In what the write leaves of the block.
  rot(pair.a, 9, 3000);
  await guest.write(8 * BLOCK + 2048, bytes(4096, 3));
  await until(() => pair.a.repaired.length === 2, 'both are mended');
  await pair.b.mirror.call('close', {});
  await pair.a.mirror.call('goSolo', {});
  const want = bytes(SIZE_BYTES, 1);
  want.fill(2, 5 * BLOCK + 1024, 5 * BLOCK + 1536);
  want.fill(3, 8 * BLOCK + 2048, 9 * BLOCK + 2048);
  // The rest of block 9 was not overwritten: it came from the partner.
  t.ok((await guest.read(0, SIZE_BYTES)).equals(want));
  t.same(pair.a.unreadable, []);
});

/** Writes to the disk of a side wait while a test says so. */
class Held {
  #hold = Promise.withResolvers<void>();
  isHeld = false;
  waiting = 0;

  under(side: 'A' | 'B', openStore: (o: FileStoreOptions) => Promise<BlockStore>): (o: FileStoreOptions) => Promise<BlockStore> {
    return async (o) => {
      const store = await openStore(o);
      if (!o.path.endsWith(`disk-${side}`)) return store;
      const { write } = store;
      store.write = async (...a) => {
        if (this.isHeld) {
          this.waiting++;
          await this.#hold.promise;
        }
        await write.apply(store, a);
      };
      return store;
    };
  }

  go(): void {
    this.isHeld = false;
    this.#hold.resolve();
  }
}

t.test('a block that is lost and written to in part is mended also by a partner that knows no checksum of it', async (t) => {
  const bad = new BadBlocks();
  const blocks = bad.of('A');
  const held = new Held();
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: held.under('B', bad.openStore) });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair);
  const want = bytes(SIZE_BYTES, 1);
  const part = async (offset: number, value: number): Promise<void> => {
    want.fill(value, offset, offset + 1024);
    await guest.write(offset, bytes(1024, value));
  };
  // Two parts of a block under way at a time on B alone, one after the other on A: only A knows what they make of it.
  held.isHeld = true;
  const first = part(5 * BLOCK, 2);
  await until(() => held.waiting === 1 && pair.a.disk()[5 * BLOCK] === 2, 'A has it');
  await guest.read(5 * BLOCK, BLOCK);
  const second = part(5 * BLOCK + 1024, 3);
  await until(() => held.waiting === 2, 'B has both under way');
  held.go();
  await Promise.all([first, second]);
  blocks.add(5);
  await part(5 * BLOCK + 3072, 4);
  // The medium gives it again.
  blocks.clear();
  await until(() => pair.a.repaired.length + pair.a.unreadable.length > 0, 'it is mended');
  await pair.b.mirror.call('close', {});
  await pair.a.mirror.call('goSolo', {});
  await part(5 * BLOCK + 2048, 5);
  t.ok((await guest.read(0, SIZE_BYTES)).equals(want), 'alone');
  t.same(pair.a.unreadable, []);
});

t.test('the same on the replica, when the journal is written back: the primary may be lost next', async (t) => {
  const bad = new BadBlocks();
  const blocks = bad.of('B');
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: bad.openStore });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await written(pair);
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  blocks.add(5);
  await guest.write(5 * BLOCK + 1024, bytes(512, 2));
  await pair.checkpoint();
  await until(() => pair.a.repaired.length === 1, 'it is sent again');
  t.match(pair.a.repaired, [{ offset: 5 * BLOCK, side: 'partner' }]);
  await pair.b.mirror.call('takeOver', {});
  const want = bytes(SIZE_BYTES, 1);
  want.fill(2, 5 * BLOCK + 1024, 5 * BLOCK + 1536);
  t.ok((await secondary.read(0, SIZE_BYTES)).equals(want));
  t.same(pair.b.unreadable, []);
});

t.test('a takeover in the middle of what both guests write; then blocks cannot be read; then alone', async (t) => {
  const bad = new BadBlocks();
  const blocks = bad.of('B');
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: bad.openStore });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await written(pair);
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await pair.checkpoint();
  // The same file, by two guests whose clocks differ a little.
  for (let b = 8; b < 40; b += 4) {
    await primary.write(b * BLOCK, bytes(4 * BLOCK, 20));
    await secondary.write(b * BLOCK, bytes(4 * BLOCK, 21));
  }
  await pair.b.mirror.call('takeOver', {});
  const want = Buffer.concat([bytes(8 * BLOCK, 1), bytes(32 * BLOCK, 21), bytes(24 * BLOCK, 1)]);
  t.ok((await secondary.read(0, SIZE_BYTES)).equals(want));
  await pair.a.mirror.call('close', {});
  pair.b.interval.current = 0;
  await pair.a.mirror.call('startTarget', {});
  await pair.b.mirror.call('startSource', {});
  await pair.b.mirror.call('resync', {});
  t.ok(pair.a.disk().equals(want));
  await pair.a.mirror.call('startReplica', {});
  pair.b.interval.current = 1;
  for (let b = 0; b < 64; b++) blocks.add(b);
  for (let b = 8; b < 24; b += 4) t.ok((await secondary.read(b * BLOCK, 4 * BLOCK)).equals(bytes(4 * BLOCK, 21)));
  await secondary.write(8 * BLOCK, bytes(4 * BLOCK, 22));
  blocks.clear();
  await pair.a.mirror.call('close', {});
  await pair.b.mirror.call('goSolo', {});
  want.fill(22, 8 * BLOCK, 12 * BLOCK);
  t.ok((await secondary.read(0, SIZE_BYTES)).equals(want));
  t.ok(pair.b.disk().equals(want));
  t.same(pair.b.unreadable, []);
});

t.test('a resync does not stop at a block that the target still has; one that the target lost differs', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair);
  pair.fake.cut();
  await pair.a.mirror.call('goSolo', {});
  await guest.write(0, bytes(BLOCK, 2));
  await pair.b.mirror.call('close', {});
  rot(pair.a, 10);
  rot(pair.b, 20);
  pair.fake.mend();
  await pair.b.mirror.call('startTarget', {});
  await pair.a.mirror.call('startSource', {});
  await pair.a.mirror.call('resync', {});
  const want = Buffer.concat([bytes(BLOCK, 2), bytes(SIZE_BYTES - BLOCK, 1)]);
  t.ok(pair.a.disk().equals(want));
  t.ok(pair.b.disk().equals(want));
});

t.test('a file of checksums that is short or rotten is said and made anew', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  const path = `${pair.a.setup.journalPath}.sums`;
  const damages: [string, () => void][] = [
    ['short', () => truncateSync(path, 5000)],
    ['rotten', () => writeFileSync(path, randomBytes(100_000))],
  ];
  await pair.a.mirror.call('open', {});
  for (const [name, damage] of damages) {
    await pair.a.mirror.call('close', {});
    damage();
    await pair.a.mirror.call('serveSolo', {});
    await until(() => pair.a.sumsUnknown.length > 0, `${name}: it is said`);
    t.equal(pair.a.sumsUnknown.splice(0).length, 1, name);
    const guest = await pair.a.connect();
    await guest.write(0, bytes(BLOCK, 1));
    rot(pair.a, 0);
    await t.rejects(guest.read(0, BLOCK), { code: 'EIO' });
    await guest.write(0, bytes(BLOCK, 1));
    await guest.close();
  }
});

t.test('a block of the replica under newer data: what is on its way goes first, then it is written again', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await written(pair);
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await guest.write(4 * BLOCK, bytes(BLOCK, 2));
  await pair.checkpoint();
  await guest.write(4 * BLOCK + 512, bytes(512, 3));
  await until(() => pair.b.disk()[4 * BLOCK] === 2, 'the first one is written back');
  rot(pair.b, 4);
  // Read through the open interval, of which nothing is the secondary's.
  await t.rejects(secondary.read(4 * BLOCK, BLOCK), { code: 'EIO' });
  t.same(pair.a.repaired, []);
  await pair.checkpoint();
  await until(() => pair.a.repaired.length > 0, 'it is written again');
  t.match(pair.a.repaired, [{ offset: 4 * BLOCK, side: 'partner' }]);
  t.same(pair.a.unreadable, []);
  const want = Buffer.concat([bytes(512, 2), bytes(512, 3), bytes(BLOCK - 1024, 2)]);
  t.ok((await secondary.read(4 * BLOCK, BLOCK)).equals(want));
  t.ok(
    pair.b
      .disk()
      .subarray(4 * BLOCK, 5 * BLOCK)
      .equals(want),
  );
});

t.test('the disk of the source is silent: its guest is served from the partner while it is decided who goes on', async (t) => {
  let silent = false;
  const pair = new MirrorPair({
    sizeBytes: SIZE_BYTES,
    openStore: async (o) => {
      const store = await FileStore.open(o);
      const read = store.read.bind(store);
      if (o.path.endsWith('disk-A')) store.read = (offset, length) => (silent ? new Promise(() => {}) : read(offset, length));
      return store;
    },
    setup: { timeoutMs: 200 },
  });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await written(pair, 6);
  silent = true;
  t.ok((await guest.read(1000, 60_000)).equals(bytes(60_000, 6)));
  await until(() => pair.a.diskErrors.length > 0, 'the disk is reported');
  t.match(pair.a.diskErrors[0], /does not answer/);
  t.ok((await guest.read(0, SIZE_BYTES)).equals(bytes(SIZE_BYTES, 6)), 'and so it goes on');
});

/** Sum of the seeds' runs: blocks that were healed, so that the test cannot pass by doing nothing. */
let healed = 0;

async function life(seed: number, fail: (message: string) => void): Promise<void> {
  const chance = random(seed);
  const below = (n: number): number => Math.floor(chance() * n);
  const bad = new BadBlocks();
  const unreadable = { A: bad.of('A'), B: bad.of('B') };
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: bad.openStore });
  try {
    await pair.protect();
    const primary = await pair.a.connect();
    const secondary = await pair.b.connect();
    const model = randomBytes(SIZE_BYTES);
    await primary.write(0, model);
    let view = Buffer.from(model);
    /** Blocks of the open interval. */
    let open = new Set<number>();
    /** Blocks that one copy has lost, as far as is known here: the other one must not lose them too. */
    const lost = { A: new Set<number>(), B: new Set<number>() };
    for (let step = 0; step < 80; step++) {
      const x = chance();
      const length = chance() < 0.3 ? 1 + below(3 * BLOCK) : BLOCK * (1 + below(3));
      const offset = length % BLOCK === 0 ? below((SIZE_BYTES - length) / BLOCK) * BLOCK : below(SIZE_BYTES - length);
      if (x < 0.25) {
        const side = chance() < 0.5 ? 'A' : 'B';
        const block = below(SIZE_BYTES / BLOCK);
        if (lost[side === 'A' ? 'B' : 'A'].has(block) || lost[side].has(block)) continue;
        lost[side].add(block);
        if (chance() < 0.5) rot(side === 'A' ? pair.a : pair.b, block, below(BLOCK));
        else unreadable[side].add(block);
      } else if (x < 0.5) {
        const data = randomBytes(length);
        data.copy(model, offset);
        await primary.write(offset, data);
        if (pair.a.interval.current === 0) data.copy(view, offset);
        else for (let b = Math.floor(offset / BLOCK); b * BLOCK < offset + length; b++) open.add(b);
      } else if (x < 0.75) {
        if (!(await primary.read(offset, length)).equals(model.subarray(offset, offset + length)))
          fail(`seed ${seed}, step ${step}: the primary read something else than it wrote`);
        for (let b = Math.floor(offset / BLOCK); b * BLOCK < offset + length; b++) if (lost.A.delete(b)) healed++;
      } else if (x < 0.9) {
        let got: Buffer | undefined;
        try {
          got = await secondary.read(offset, length);
        } catch {
          let isOpen = false;
          for (let b = Math.floor(offset / BLOCK); b * BLOCK < offset + length; b++) isOpen ||= open.has(b) && lost.B.has(b);
          if (!isOpen) fail(`seed ${seed}, step ${step}: the secondary's read failed`);
        }
        if (got && !got.equals(view.subarray(offset, offset + length)))
          fail(`seed ${seed}, step ${step}: the secondary read something else than was committed`);
      } else {
        if (pair.a.interval.current === 0) pair.a.interval.current = 1;
        await pair.checkpoint();
        view = Buffer.from(model);
        open = new Set();
      }
    }
    // What is still lost on one copy is healed by reading all of it, on both sides.
    if (pair.a.interval.current > 0) await pair.checkpoint();
    if (!(await primary.read(0, SIZE_BYTES)).equals(model)) fail(`seed ${seed}: the primary at the end`);
    // Write-backs first: newer data for a block is not overtaken by a repair.
    await pair.b.mirror.call('collapse', {});
    pair.a.interval.current = 0;
    for (let b = 0; b < SIZE_BYTES / BLOCK; b++) await pair.a.mirror.call('repairBlock', { offset: b * BLOCK, from: 'own' });
    if (!pair.a.disk().equals(model) || !pair.b.disk().equals(model)) fail(`seed ${seed}: the copies at the end`);
    if (pair.a.lost.length > 0) fail(`seed ${seed}: ${pair.a.lost[0]}`);
  } finally {
    await pair.end();
  }
}

const SEEDS = Number(process.env.MIRROR_SEEDS ?? 4);
t.setTimeout(120_000 + SEEDS * 10_000);

t.test('whatever rots on one copy, both guests read what they should', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) await life(seed, (message) => t.fail(message));
  t.ok(healed > SEEDS, `${healed} blocks of the source healed by reading`);
});
