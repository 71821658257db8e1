// The comparison of both copies, and the blocks that wait, on two mirrors joined in memory.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Quarantine } from '../../../../appliance/mirror/quarantine.ts';
import {
  decodeVerified,
  decodeVerify,
  digestOf,
  encodeVerified,
  encodeVerify,
  type VerifiedBlock,
} from '../../../../appliance/mirror/verify-codec.ts';
import { FileStore, StoreError } from '../../../../drivers/block/index.ts';
import { MirrorPair, until } from './mirror-pair.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;

interface Found {
  differ: { offset: number; fits: string }[];
  copies: { scrubbing: boolean; quarantined: number[] }[];
}

function watch(pair: MirrorPair): Found {
  const found: Found = { differ: [], copies: [] };
  pair.a.mirror.on('copiesDiffer', (d) => found.differ.push(d));
  pair.a.mirror.on('copies', (c) => found.copies.push(c));
  return found;
}

async function scrubbed(pair: MirrorPair): Promise<NonNullable<Awaited<ReturnType<typeof view>>>> {
  await pair.a.mirror.call('startScrub', {});
  for (;;) {
    const now = await view(pair);
    if (now && now.endedAt !== null) return now;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function view(pair: MirrorPair) {
  return (await pair.a.mirror.call('status', {})).scrub;
}

function rot(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.of(0xee), 0, 1, offset);
}

// Many bytes pass through the disks of one busy machine.
t.setTimeout(120_000);

const fast = { scrub: { rateBytesPerS: 1e12, everyHours: 0, settleMs: 0 } };

t.test('copies that are equal, also in what only the journal has yet, and while the guest writes', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 8 * MIB + BLOCK, setup: fast });
  t.teardown(() => pair.end());
  const found = watch(pair);
  await pair.protect();
  const guest = await pair.a.connect();
  pair.a.interval.current = 1;
  await guest.write(5 * MIB + 100, randomBytes(9000));
  await pair.checkpoint();
  await guest.write(5 * MIB, randomBytes(BLOCK));
  await guest.writeZeroes(MIB, 3 * BLOCK);
  const scrub = scrubbed(pair);
  await Promise.all(Array.from({ length: 100 }, () => guest.write(Math.floor(Math.random() * 8 * MIB), randomBytes(700))));
  t.match(await scrub, { state: 'done', checkedBytes: 8 * MIB + BLOCK, differed: 0, reason: '' });
  t.same(found.differ, []);
  t.same([found.copies.some((c) => c.scrubbing), found.copies.at(-1)?.scrubbing], [true, false]);
});

t.test('a block that differs is found, waits when it is quarantined, and the operator’s choice makes both equal', async (t) => {
  // Longer than the test: what waits is let go by the choice.
  const pair = new MirrorPair({ sizeBytes: 4 * MIB, setup: fast, holds: { quarantineMs: 600_000 } });
  t.teardown(() => pair.end());
  const content = Buffer.from(Uint8Array.from({ length: 4 * MIB }, (_, i) => (i >> 5) & 0x7f));
  writeFileSync(pair.a.setup.diskPath, content);
  const found = watch(pair);
  await pair.protect();
  await t.rejects(pair.b.mirror.call('startScrub', {}), /the partner does not follow/);
  const guest = await pair.a.connect();
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  for (const at of [3 * BLOCK + 5, MIB + 7, 2 * MIB]) rot(pair.b.setup.diskPath, at);
  t.match(await scrubbed(pair), { state: 'done', differed: 3 });
  t.same(
    found.differ.map((d) => d.offset),
    [3 * BLOCK, MIB, 2 * MIB],
  );
  for (const { offset } of found.differ) await pair.a.mirror.call('quarantineBlock', { offset });
  t.same(found.copies.at(-1)?.quarantined, [3 * BLOCK, MIB, 2 * MIB]);

  const order: string[] = [];
  const reads = [
    guest.read(3 * BLOCK, BLOCK).then((bytes) => {
      order.push('read');
      return bytes;
    }),
    secondary.read(3 * BLOCK + 100, 10).then(() => order.push('read at the secondary')),
    guest.write(3 * BLOCK + 8, Buffer.alloc(8, 1)).then(() => order.push('write')),
  ] as const;
  t.equal((await guest.read(4 * BLOCK, BLOCK)).compare(content, 4 * BLOCK, 5 * BLOCK), 0, 'the block beside it is served');
  t.match(await scrubbed(pair), { state: 'done', differed: 0 }, 'a block that waits is not told again');
  t.same(order, []);
  await t.rejects(pair.a.mirror.call('chooseBlock', { offset: 0, keep: 'own' }), /does not wait/);
  await pair.a.mirror.call('chooseBlock', { offset: 3 * BLOCK, keep: 'own' });
  const [read] = await Promise.all([reads[0], reads[2]]);
  t.notOk(order.includes('read at the secondary'), 'its guest stands at the last commit, which has the wrong one');
  await pair.checkpoint();
  await reads[1];
  t.equal(read[5], content[3 * BLOCK + 5]);
  await pair.a.mirror.call('chooseBlock', { offset: MIB, keep: 'partner' });
  t.equal((await guest.read(MIB + 7, 1))[0], 0xee, "the partner's content was right");
  await guest.write(2 * MIB, Buffer.alloc(BLOCK, 3));
  await until(() => found.copies.at(-1)?.quarantined.length === 0, 'a block that was overwritten is served again');
  await pair.checkpoint();
  t.match(await scrubbed(pair), { state: 'done', differed: 0 });
});

t.test('it is not done before what it found is repaired or left, and its end says what became of it', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 4 * MIB, setup: { scrub: { rateBytesPerS: 1e12, everyHours: 0, settleMs: 60_000 } } });
  t.teardown(() => pair.end());
  const ended: unknown[] = [];
  const states = new Set<string>();
  const found: number[] = [];
  const content = Buffer.alloc(4 * MIB, 5);
  writeFileSync(pair.a.setup.diskPath, content);
  pair.a.mirror.on('scrubEnded', (v) => ended.push(v));
  pair.a.mirror.on('copiesDiffer', ({ offset }) => found.push(offset));
  await pair.equalise();
  for (const at of [BLOCK, 2 * BLOCK, 4 * MIB - 10]) rot(pair.b.setup.diskPath, at);
  const scrub = scrubbed(pair);
  await until(() => found.length === 3, 'three blocks are found');
  await pair.a.mirror.call('repairBlock', { offset: BLOCK, from: 'own' });
  await pair.a.mirror.call('quarantineBlock', { offset: 2 * BLOCK });
  while ((await view(pair))?.checkedBytes !== 4 * MIB) await new Promise((resolve) => setTimeout(resolve, 5));
  // It is with the core still, whatever else is repaired meanwhile.
  await pair.a.mirror.call('repairBlock', { offset: MIB, from: 'own' });
  for (let look = 0; look < 40; look++) {
    states.add((await view(pair))?.state ?? '');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.same([[...states], ended], [['running'], []]);
  await pair.a.mirror.call('repairBlock', { offset: 4 * MIB - BLOCK, from: 'own' });
  const summary = { state: 'done', differed: 3, repaired: 2 };
  t.match(await scrub, summary);
  t.match(ended, [summary]);
});

t.test('a block that cannot be read is nobody’s choice', async (t) => {
  let isLost = false;
  const pair = new MirrorPair({
    sizeBytes: MIB,
    setup: fast,
    openStore: async (o) => {
      const store = await FileStore.open(o);
      const read = store.read.bind(store);
      if (o.path.endsWith('disk-B'))
        store.read = async (offset, length) => {
          if (isLost && offset <= BLOCK && offset + length > BLOCK) throw new StoreError('io', 'read', BLOCK, 'lost');
          return await read(offset, length);
        };
      return store;
    },
  });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(4 * BLOCK, 7));
  await pair.a.mirror.call('quarantineBlock', { offset: BLOCK });
  isLost = true;
  await t.rejects(pair.a.mirror.call('chooseBlock', { offset: BLOCK, keep: 'partner' }), /the block at 4096 cannot be read on the partner/);
  t.same(pair.a.lost, [], 'the partner follows all the same');
  await pair.a.mirror.call('chooseBlock', { offset: BLOCK, keep: 'own' });
  t.same(await guest.read(0, 4 * BLOCK), Buffer.alloc(4 * BLOCK, 7));
});

t.test('it waits while the partner is away, and goes on where it was', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 8 * MIB, setup: { scrub: { rateBytesPerS: 4 * MIB, everyHours: 0 } } });
  t.teardown(() => pair.end());
  watch(pair);
  await pair.equalise();
  await pair.a.mirror.call('startScrub', {});
  await t.rejects(pair.a.mirror.call('startScrub', {}), /being compared already/);
  await until(() => pair.a.setup.sizeBytes > 0, 'started');
  while (((await view(pair))?.checkedBytes ?? 0) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await pair.a.mirror.call('goSolo', {});
  while ((await view(pair))?.state !== 'paused') await new Promise((resolve) => setTimeout(resolve, 5));
  const before = await view(pair);
  t.match(before?.reason, /goes on alone|does not follow/);
  await pair.a.mirror.call('close', {});
  await pair.b.mirror.call('close', {});
  await pair.equalise();
  t.match(await view(pair), { state: 'paused', checkedBytes: before?.checkedBytes, startedAt: before?.startedAt });
  await pair.a.mirror.call('startScrub', {});
  while (((await view(pair))?.checkedBytes ?? 0) <= (before?.checkedBytes ?? 0)) await new Promise((resolve) => setTimeout(resolve, 5));
  await pair.a.mirror.call('stopScrub', {});
  t.match(await view(pair), { state: 'cutShort', reason: 'the operator stopped it' });
  await t.rejects(pair.a.mirror.call('stopScrub', {}), /not being compared/);
});

t.test('copies that differ all over are no rot', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 8 * MIB, setup: fast });
  t.teardown(() => pair.end());
  const found = watch(pair);
  await pair.equalise();
  writeFileSync(pair.b.setup.diskPath, randomBytes(8 * MIB));
  t.match(await scrubbed(pair), { state: 'cutShort', reason: /more than 64 blocks differ/, checkedBytes: MIB });
  t.equal(found.differ.length, 256);
});

t.test('the list of blocks that wait survives, and is refused when it is damaged', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'quarantine-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'list');
  let changes = 0;
  const q = await Quarantine.open(path, () => void changes++);
  await q.add(5000);
  await q.add(4096);
  await q.add(81920);
  t.same(q.offsets, [4096, 81920]);
  t.equal(changes, 2);
  t.equal(q.beforeRead(0, 4096), undefined);
  t.equal(q.beforeWrite(4096, 4096), undefined, 'all of it');
  t.equal(q.beforeWrite(0, 16384), undefined, 'all of it, and more');
  const half = q.beforeWrite(6000, 4096);
  const again = await Quarantine.open(path, () => undefined);
  t.same(again.offsets, [4096, 81920]);
  await q.lift(4096, 4095);
  t.same(q.offsets, [4096, 81920], 'a part of it heals nothing');
  await q.lift(0, 8192);
  await half;
  await q.replace([]);
  t.same((await Quarantine.open(path, () => undefined)).offsets, []);
  writeFileSync(path, 'nonsense\n');
  await t.rejects(
    Quarantine.open(path, () => undefined),
    /is damaged/,
  );
});

t.test('messages', (t) => {
  const digest = digestOf(Buffer.from('x'));
  for (const r of [{ kind: 'compare', digest }, { kind: 'fetch' }, { kind: 'quarantine', offsets: [0, 2 ** 41] }] as const)
    t.same(decodeVerify(encodeVerify({ ...r, ...('offsets' in r ? { offsets: [...r.offsets] } : {}) } as never)), r);
  const blocks: VerifiedBlock[] = [
    { condition: 'wrong', isPending: true, digest },
    { condition: 'unreadable', isPending: false, digest },
  ];
  t.same(decodeVerified(encodeVerified(blocks), 2), blocks);
  t.equal(decodeVerified(encodeVerified(null), 2), null);
  for (const bad of ['', '00', '03', '0200', `00${'00'.repeat(31)}`, `02${'ff'.repeat(8)}`, '020000000000000001'])
    t.throws(() => decodeVerify(Buffer.from(bad, 'hex')), /a verify message/);
  t.throws(() => decodeVerified(Buffer.of(0, 1), 1), /2 bytes about 1 blocks/);
  t.throws(() => decodeVerified(Buffer.concat([Buffer.of(0, 7), digest]), 1), /condition 7/);
  t.end();
});
