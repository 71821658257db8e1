// Blocks that no copy has, or of which nobody knows which copy is right: the guest gets an error for them, the same on both CoServers and after
// restarts, and everything else goes on: the resync, the checkpoints.
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import t from 'tap';
import type { MirrorEvents } from '../../../../appliance/mirror/api.ts';
import { decodeMessage } from '../../../../appliance/mirror/messages.ts';
import { Quarantine } from '../../../../appliance/mirror/quarantine.ts';
import { decodeVerify, MAX_QUARANTINED } from '../../../../appliance/mirror/verify-codec.ts';
import { type BlockStore, FileStore, type FileStoreOptions, StoreError } from '../../../../drivers/block/index.ts';
import type { NbdClient } from '../../../../drivers/nbd/index.ts';
import { MirrorPair, type PairOptions, type Side, until } from './mirror-pair.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

const BLOCK = 4096;
const SIZE_BYTES = 128 * BLOCK;
const EIO = { code: 'EIO' };
type Test = Pick<typeof t, 'teardown' | 'rejects'>;
/** Longer than any test: what waits here is let go by what it waits for. */
const LONG_MS = 600_000;
const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value);

function rot(side: Side, block: number, at = 100): void {
  const fd = openSync(side.setup.diskPath, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, block * BLOCK + at);
  byte.writeUInt8(byte.readUInt8(0) ^ 0x20, 0);
  writeSync(fd, byte, 0, 1, block * BLOCK + at);
  closeSync(fd);
}

/** On A: blocks that cannot be read until they are written. */
function unreadable(bad: Set<number>): (o: FileStoreOptions) => Promise<BlockStore> {
  return async (o) => {
    const store = await FileStore.open(o);
    if (!o.path.endsWith('disk-A')) return store;
    const { read, write } = store;
    store.read = async (offset, length) => {
      for (const b of bad)
        if (b * BLOCK < offset + length && (b + 1) * BLOCK > offset) throw new StoreError('io', 'read', b * BLOCK, 'Input/output error');
      return await read.call(store, offset, length);
    };
    store.write = async (offset, ...parts) => {
      await write.call(store, offset, ...parts);
      for (const b of bad) if (offset <= b * BLOCK && offset + parts.reduce((n, p) => n + p.length, 0) >= (b + 1) * BLOCK) bad.delete(b);
    };
    return store;
  };
}

/** What waits, as a side said last. */
function quarantined(side: Side): () => number[] {
  let last: MirrorEvents['copies'] = { scrubbing: false, quarantined: [] };
  side.mirror.on('copies', (c) => {
    last = c;
  });
  return () => last.quarantined;
}

/** A alone has written its disk, then lost blocks 7, 20 and 21. */
async function lostAlone(t: Test, options: Partial<PairOptions> = {}): Promise<{ pair: MirrorPair; guest: NbdClient }> {
  const bad = new Set<number>();
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, holds: { quarantineMs: 0 }, openStore: unreadable(bad), ...options });
  t.teardown(() => pair.end());
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const guest = await pair.a.connect();
  await guest.write(0, bytes(SIZE_BYTES, 1));
  rot(pair.a, 7);
  bad.add(20).add(21);
  return { pair, guest };
}

async function join(pair: MirrorPair): Promise<{ why: string }> {
  await pair.b.mirror.call('open', {});
  await pair.b.mirror.call('startTarget', {});
  await pair.a.mirror.call('startSource', {});
  return await pair.a.mirror.call('resync', {});
}

async function served(side: Side): Promise<NbdClient> {
  await side.mirror.call('close', {});
  await side.mirror.call('open', {});
  await side.mirror.call('serveSolo', {});
  return await side.connect();
}

async function refused(t: Test, guest: NbdClient, blocks: number[], whose: string): Promise<void> {
  for (const b of blocks) await t.rejects(guest.read(b * BLOCK + 512, 512), EIO, `block ${b} of ${whose}`);
}

t.test('a resync goes on past blocks that no copy has: an error for them on both, for good, until the guest overwrites them', async (t) => {
  const { pair, guest } = await lostAlone(t);
  const waits = [quarantined(pair.a), quarantined(pair.b)];
  const { why } = await join(pair);
  t.match(why, /no copy has the blocks at bytes 28672, 81920, 86016: the guest gets an I\/O error/);
  t.same(
    pair.a.unreadable.map((u) => [u.offset / BLOCK, u.side]),
    [
      [7, 'own'],
      [20, 'own'],
      [21, 'own'],
    ],
  );
  t.same(
    waits.map((w) => w()),
    [
      [7 * BLOCK, 20 * BLOCK, 21 * BLOCK],
      [7 * BLOCK, 20 * BLOCK, 21 * BLOCK],
    ],
  );
  await pair.b.mirror.call('confirmEqual', {});
  await refused(t, guest, [7, 20, 21], 'the source');
  await t.rejects(guest.write(7 * BLOCK + 8, bytes(8, 2)), EIO, 'a part of it does not make it good');
  t.ok((await guest.read(8 * BLOCK, 12 * BLOCK)).equals(bytes(12 * BLOCK, 1)), 'what is between them is served');
  const there = pair.b.disk();
  for (let b = 0; b < SIZE_BYTES / BLOCK; b++)
    if (![7, 20, 21].includes(b)) t.ok(there.subarray(b * BLOCK, (b + 1) * BLOCK).equals(bytes(BLOCK, 1)), `block ${b} is on the partner`);

  await t.rejects(pair.a.mirror.call('repairBlock', { offset: 7 * BLOCK, from: 'partner' }), /not equal to this one/);
  await guest.write(20 * BLOCK, bytes(BLOCK, 5));
  t.equal((await guest.read(20 * BLOCK, 1))[0], 5);
  await until(() => waits.every((w) => w().length === 2), 'healed on both');
  t.equal(pair.b.disk()[20 * BLOCK], 5);

  await pair.a.mirror.call('close', {});
  const guestB = await served(pair.b);
  await refused(t, guestB, [7, 21], 'the partner, which goes on alone after a restart');
  t.equal((await guestB.read(20 * BLOCK, 1))[0], 5);
  const again = await served(pair.a);
  await refused(t, again, [7, 21], 'the source after a restart');
  await again.write(7 * BLOCK, bytes(2 * BLOCK, 6));
  t.equal((await again.read(7 * BLOCK, 1))[0], 6);
});

t.test('the next resync, in the one or the other direction, ends too', async (t) => {
  const { pair, guest } = await lostAlone(t);
  await join(pair);
  await guest.write(0, bytes(4 * BLOCK, 2));
  await pair.a.mirror.call('goSolo', {});
  await guest.write(0, bytes(4 * BLOCK, 3));
  await pair.b.mirror.call('close', {});
  const { why } = await join(pair);
  t.notMatch(why, /no copy has/, 'what is known is not told again');
  await refused(t, guest, [7, 20, 21], 'the source');
  await pair.a.mirror.call('close', {});
  const guestB = await served(pair.b);
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('startTarget', {});
  await pair.b.mirror.call('startSource', {});
  await pair.b.mirror.call('resync', {});
  await refused(t, guestB, [7, 20, 21], 'the new source');
  await guestB.write(20 * BLOCK, bytes(2 * BLOCK, 4));
  await pair.b.mirror.call('close', {});
  const guestA = await served(pair.a);
  t.ok((await guestA.read(20 * BLOCK, 2 * BLOCK)).equals(bytes(2 * BLOCK, 4)));
  await refused(t, guestA, [7], 'the first source');
});

t.test('what the partner has of a lost block is older: it stays there for the operator, and nothing takes it for right', async (t) => {
  const { pair, guest } = await lostAlone(t);
  await guest.write(0, bytes(SIZE_BYTES, 1));
  await join(pair);
  await pair.a.mirror.call('goSolo', {});
  await guest.write(0, bytes(SIZE_BYTES, 2));
  rot(pair.a, 9);
  await pair.b.mirror.call('close', {});
  await join(pair);
  const there = pair.b.disk();
  t.same(
    [8, 9, 10].map((b) => there[b * BLOCK]),
    [2, 1, 2],
  );
  await t.rejects(pair.a.mirror.call('repairBlock', { offset: 9 * BLOCK, from: 'partner' }), /its copy is not equal to this one/);
  await refused(t, guest, [9], 'the source');
  await pair.a.mirror.call('chooseBlock', { offset: 9 * BLOCK, keep: 'partner' });
  t.ok((await guest.read(9 * BLOCK, BLOCK)).equals(bytes(BLOCK, 1)), 'the operator may want it');
});

t.test('of a lost block whose checksum nobody knows none is learned', async (t) => {
  const bad = new Set([7]);
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, holds: { quarantineMs: 0 }, openStore: unreadable(bad) });
  t.teardown(() => pair.end());
  writeFileSync(pair.a.setup.diskPath, bytes(SIZE_BYTES, 1));
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  t.match((await join(pair)).why, /no copy has the blocks at bytes 28672:/);
  await t.rejects(pair.a.mirror.call('repairBlock', { offset: 7 * BLOCK, from: 'partner' }), /its copy is not equal to this one/);
});

t.test('what the guest heals while the copies become equal is served on both', async (t) => {
  const { pair, guest } = await lostAlone(t);
  const waits = quarantined(pair.b);
  const send = pair.fake.a.send.bind(pair.fake.a);
  pair.fake.a.send = (...parts) => {
    if (decodeMessage(Buffer.concat(parts)).kind !== 'synced') return send(...parts);
    guest.write(20 * BLOCK, bytes(2 * BLOCK, 4)).then(() => send(...parts), t.error);
    return true;
  };
  await join(pair);
  t.same(waits(), [7 * BLOCK]);
});

t.test('the partner has the list before its copy counts as equal', async (t) => {
  const { pair } = await lostAlone(t);
  const sent: string[] = [];
  const send = pair.fake.a.send.bind(pair.fake.a);
  pair.fake.a.send = (...parts) => {
    const m = decodeMessage(Buffer.concat(parts));
    if (m.kind === 'synced') sent.push('synced');
    if (m.kind === 'verify') {
      const request = decodeVerify(m.data);
      if (request.kind === 'quarantine') sent.push(`${request.offsets.length} blocks`);
    }
    return send(...parts);
  };
  await join(pair);
  t.same(sent.slice(0, 2), ['3 blocks', 'synced']);
});

t.test('a partner that says nothing of a block it is asked for ends the resync: it may have it', async (t) => {
  const { pair } = await lostAlone(t);
  const reads = new Set<number>();
  const ask = pair.fake.a.send.bind(pair.fake.a);
  pair.fake.a.send = (...parts) => {
    const m = decodeMessage(Buffer.concat(parts));
    if (m.kind === 'read') reads.add(m.request);
    return ask(...parts);
  };
  const answer = pair.fake.b.send.bind(pair.fake.b);
  // Damaged on its way.
  pair.fake.b.send = (header = Buffer.of(), ...data) =>
    reads.has(decodeMessage(Buffer.concat([header, ...data])).request) ? answer(header, Buffer.of(1)) : answer(header, ...data);
  await t.rejects(join(pair), /the partner does not say what it has/);
  t.same(pair.a.lost, []);
});

t.test('what the guest overwrote is served by the partner also when the source had no time to tell', async (t) => {
  const { pair, guest } = await lostAlone(t);
  await join(pair);
  const send = pair.fake.a.send.bind(pair.fake.a);
  pair.fake.a.send = (...parts) => (decodeMessage(Buffer.concat(parts)).kind === 'verify' ? true : send(...parts));
  await guest.write(20 * BLOCK, bytes(2 * BLOCK, 4));
  const guestB = await served(pair.b);
  t.ok((await guestB.read(20 * BLOCK, 2 * BLOCK)).equals(bytes(2 * BLOCK, 4)));
  await refused(t, guestB, [7], 'the partner');
});

t.test('a block that both copies lose while they are equal is found as a comparison would find it', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, holds: { quarantineMs: 0 } });
  t.teardown(() => pair.end());
  const found: MirrorEvents['copiesDiffer'][] = [];
  pair.a.mirror.on('copiesDiffer', (d) => found.push(d));
  await pair.protect();
  const guest = await pair.a.connect();
  const secondary = await pair.b.connect();
  await guest.write(0, bytes(SIZE_BYTES, 1));
  rot(pair.a, 7);
  rot(pair.b, 7, 200);
  await refused(t, guest, [7], 'the source');
  await refused(t, secondary, [7], 'the replica');
  await until(() => found.length > 0, 'told');
  t.same(found, [{ offset: 7 * BLOCK, fits: 'neither' }]);
  t.same([pair.a.lost, pair.a.diskErrors], [[], []]);
});

async function lockstep(t: Test, quarantineMs: number): Promise<{ pair: MirrorPair; guest: NbdClient; secondary: NbdClient }> {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, holds: { quarantineMs } });
  t.teardown(() => pair.end());
  await pair.protect();
  const [guest, secondary] = [await pair.a.connect(), await pair.b.connect()];
  await guest.write(0, bytes(SIZE_BYTES, 1));
  pair.a.interval.current = 1;
  for (const b of [3, 4, 5]) await pair.a.mirror.call('quarantineBlock', { offset: b * BLOCK });
  return { pair, guest, secondary };
}

t.test('in lockstep a request of such a block ends by itself, the same on both replicas', async (t) => {
  const { pair, guest, secondary } = await lockstep(t, 50);
  for (const [side, client] of Object.entries({ primary: guest, secondary })) {
    const requests = [client.read(2 * BLOCK, 3 * BLOCK), client.write(3 * BLOCK + 8, bytes(8, 2)), client.writeZeroes(4 * BLOCK + 8, 8)];
    for (const r of await Promise.allSettled(requests)) t.match(r, { status: 'rejected', reason: EIO }, side);
    t.ok((await client.read(0, 3 * BLOCK)).equals(bytes(3 * BLOCK, 1)), 'the blocks beside it are served');
  }
  t.same([pair.a.lost, pair.a.diskErrors, pair.b.diskErrors], [[], [], []]);
  await pair.checkpoint();
});

t.test('held for a moment: what heals it meanwhile is what the guest gets', async (t) => {
  const { pair, guest, secondary } = await lockstep(t, LONG_MS);
  const reads = [guest.read(3 * BLOCK, BLOCK), secondary.read(3 * BLOCK, BLOCK)] as const;
  await guest.write(3 * BLOCK, bytes(BLOCK, 9));
  t.equal((await reads[0])[0], 9);
  await pair.checkpoint();
  t.equal((await reads[1])[0], 9);
});

t.test('the secondary reads what its guest wrote itself, and what a checkpoint brought, with the primary', async (t) => {
  const { pair, guest, secondary } = await lockstep(t, 0);
  await secondary.write(3 * BLOCK, bytes(BLOCK, 9));
  t.equal((await secondary.read(3 * BLOCK, BLOCK))[0], 9, 'as the primary reads what its guest wrote');
  await secondary.write(3 * BLOCK + 8, bytes(8, 8));
  await guest.write(3 * BLOCK, bytes(BLOCK, 9));
  t.equal((await guest.read(3 * BLOCK, BLOCK))[0], 9);
  await guest.write(4 * BLOCK, bytes(BLOCK, 7));
  await refused(t, secondary, [4], 'the secondary, which has not written it yet');
  await pair.checkpoint();
  for (const b of [3, 4]) t.ok((await secondary.read(b * BLOCK, BLOCK)).equals(await guest.read(b * BLOCK, BLOCK)), `block ${b}`);
  await refused(t, secondary, [5], 'the secondary');
});

t.test('a takeover serves what its guest wrote, and not what the primary had not committed', async (t) => {
  const { pair, guest, secondary } = await lockstep(t, 0);
  const waits = quarantined(pair.b);
  await secondary.write(3 * BLOCK, bytes(BLOCK, 9));
  await guest.write(4 * BLOCK, bytes(BLOCK, 7));
  await pair.b.mirror.call('takeOver', {});
  t.equal((await secondary.read(3 * BLOCK, BLOCK))[0], 9);
  await refused(t, secondary, [4, 5], 'the new primary');
  t.same(waits(), [4 * BLOCK, 5 * BLOCK]);
});

for (const end of ['collapse', 'close'] as const)
  t.test(`a replica that ends without a takeover has what the primary wrote (${end})`, async (t) => {
    const { pair, guest } = await lockstep(t, 0);
    const waits = quarantined(pair.b);
    const send = pair.fake.a.send.bind(pair.fake.a);
    // The source has no time to tell.
    pair.fake.a.send = (...parts) => (decodeMessage(Buffer.concat(parts)).kind === 'verify' ? true : send(...parts));
    await guest.write(4 * BLOCK, bytes(BLOCK, 7));
    await pair.b.mirror.call(end, {});
    if (end === 'close') {
      const alone = await served(pair.b);
      t.equal((await alone.read(4 * BLOCK, 1))[0], 7);
    }
    t.same(waits(), [3 * BLOCK, 5 * BLOCK]);
  });

t.test('more blocks than anybody could choose are no single blocks', async (t) => {
  const { pair } = await lostAlone(t);
  const q = await Quarantine.open(`${pair.directory}/list`, () => undefined);
  await t.rejects(q.add(...Array.from({ length: MAX_QUARANTINED + 1 }, (_, i) => i * BLOCK)), /go back to a restore point/);
  t.same(q.offsets, [], 'none of them');
  await q.add(...Array.from({ length: MAX_QUARANTINED }, (_, i) => i * BLOCK));
  t.equal((await Quarantine.open(`${pair.directory}/list`, () => undefined)).offsets.length, MAX_QUARANTINED);
});

for (const operation of ['write', 'flush'] as const)
  t.test(`alone, an error of a ${operation} waits until the core had the time to freeze the guest`, async (t) => {
    for (const aloneErrorMs of [LONG_MS, 50]) {
      let isBroken = false;
      const pair = new MirrorPair({
        sizeBytes: SIZE_BYTES,
        holds: { aloneErrorMs },
        openStore: async (o) => {
          const store = await FileStore.open(o);
          const real = { write: store.write.bind(store), flush: store.flush.bind(store) };
          const fails = (): boolean => isBroken && o.path.endsWith('disk-A');
          store.write = async (offset, ...parts) => {
            if (fails()) throw new StoreError('io', operation, offset, 'broken');
            await real.write(offset, ...parts);
          };
          store.flush = async () => {
            if (fails()) throw new StoreError('io', operation, 0, 'broken');
            await real.flush();
          };
          return store;
        },
      });
      t.teardown(() => pair.end());
      await pair.a.mirror.call('open', {});
      await pair.a.mirror.call('serveSolo', {});
      const guest = await pair.a.connect();
      isBroken = true;
      let ended = '';
      const request = (operation === 'write' ? guest.write(0, bytes(BLOCK, 1)) : guest.flush()).then(
        () => (ended = 'well'),
        (e: { code: string }) => (ended = e.code),
      );
      await until(() => pair.a.diskErrors.length > 0, 'told');
      if (aloneErrorMs === LONG_MS) {
        for (let i = 0; i < 20; i++) await pair.a.mirror.call('status', {});
        t.equal(ended, '', 'held');
        await pair.a.mirror.call('close', {});
        await request;
        t.not(ended, 'EIO', 'what ends it then is the end of the export');
      } else {
        await request;
        t.equal(ended, 'EIO');
        const later = await guest.write(0, bytes(BLOCK, 1)).catch((e: { code: string }) => e.code);
        t.equal(later, 'EIO');
      }
    }
  });

t.test('alone, so does a read of a disk that does not answer', async (t) => {
  const { promise: never, resolve: mend } = Promise.withResolvers<void>();
  let hangs = false;
  const pair = new MirrorPair({
    sizeBytes: SIZE_BYTES,
    setup: { timeoutMs: 500 },
    holds: { aloneErrorMs: LONG_MS },
    openStore: async (o) => {
      const store = await FileStore.open(o);
      const read = store.read.bind(store);
      store.read = async (offset, length) => {
        if (hangs && o.path.endsWith('disk-A')) await never;
        return await read(offset, length);
      };
      return store;
    },
  });
  t.teardown(() => pair.end());
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const guest = await pair.a.connect();
  hangs = true;
  let ended = '';
  const request = guest.read(0, BLOCK).catch((e: { code: string }) => (ended = e.code));
  await until(() => pair.a.diskErrors.length > 0, 'told');
  for (let i = 0; i < 20; i++) await pair.a.mirror.call('status', {});
  t.equal(ended, '', 'held');
  mend();
  await pair.a.mirror.call('close', {});
  await request;
  t.not(ended, 'EIO');
});

t.test('a repair says who found the block', async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, setup: { scrub: { rateBytesPerS: 1e12, everyHours: 0 } } });
  t.teardown(() => pair.end());
  await pair.equalise();
  // As the core does, which decides by the verdict (rows 14 and 15).
  pair.a.mirror.on('copiesDiffer', ({ offset, fits }) => {
    if (fits !== 'neither') void pair.a.mirror.call('repairBlock', { offset, from: fits });
  });
  const guest = await pair.a.connect();
  await guest.write(0, bytes(SIZE_BYTES, 1));
  rot(pair.a, 7);
  await guest.read(7 * BLOCK, BLOCK);
  rot(pair.a, 9);
  rot(pair.b, 11);
  await pair.a.mirror.call('startScrub', {});
  await until(() => pair.a.repaired.length === 3, 'all are repaired');
  t.same(
    pair.a.repaired.map((r) => [r.offset / BLOCK, r.side, r.foundBy]).sort((x, y) => Number(x[0]) - Number(y[0])),
    [
      [7, 'own', 'read'],
      [9, 'own', 'comparison'],
      [11, 'partner', 'comparison'],
    ],
  );
});
