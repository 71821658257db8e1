import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { FileStore, StoreError } from '../../../../drivers/block/index.ts';
import { MirrorPair, until } from './mirror-pair.ts';

const MIB = 1024 * 1024;

// Most of it is the disk's time.
t.setTimeout(120_000);

async function isPending(p: Promise<unknown>): Promise<boolean> {
  let ended = false;
  const note = (): void => {
    ended = true;
  };
  p.then(note, note);
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  return !ended;
}

t.test('resync makes a different copy equal; equal blocks are not sent; writes meanwhile reach both', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 16 * MIB + 4096 });
  t.teardown(() => pair.end());
  const content = randomBytes(16 * MIB + 4096);
  content.fill(0, 3 * MIB, 4 * MIB);
  writeFileSync(pair.a.setup.diskPath, content);
  const theirs = Buffer.from(content);
  theirs.fill(1, 3 * MIB + 5, 3 * MIB + 10);
  theirs.fill(2, 9 * MIB, 10 * MIB);
  theirs.fill(3, 16 * MIB + 4095);
  writeFileSync(pair.b.setup.diskPath, theirs);
  await pair.a.mirror.call('serveSolo', {});
  await pair.b.mirror.call('startTarget', {});
  const guest = await pair.a.connect();
  const before = guest.write(5, Buffer.from('before'));
  await pair.a.mirror.call('startSource', {});
  await t.rejects(pair.b.mirror.call('startReplica', {}), /not equal/);
  const progress: number[] = [];
  pair.a.mirror.on('resyncProgress', (p) => progress.push(p.comparedBytes));
  const resync = pair.a.mirror.call('resync', {});
  const during = Array.from({ length: 200 }, (_, i) =>
    // Not where the copies differ by a few bytes only: written over, they would be equal before they are compared.
    guest.write(4 * MIB + Math.floor(Math.random() * (12 * MIB - 9000)), randomBytes(1 + ((i * 97) % 9000))),
  );
  const done = await resync;
  await Promise.all([before, ...during]);
  t.equal(done.comparedBytes, content.length);
  t.ok(done.copiedBytes >= 64 * 1024 * 17 && done.copiedBytes < 64 * 1024 * 40, `copied ${done.copiedBytes}`);
  t.equal(progress.at(-1), content.length);
  await guest.flush();
  t.ok(pair.a.disk().equals(pair.b.disk()), 'identical');
  t.equal(pair.a.disk().toString('latin1', 5, 11), 'before');
});

t.test('without a target there is no source', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.a.mirror.call('serveSolo', {});
  await pair.b.mirror.call('open', {});
  await t.rejects(pair.a.mirror.call('startSource', {}), /partner's copy is 'closed', not a target/);
  await t.rejects(pair.a.mirror.call('resync', {}), /this copy is 'solo', not 'source'/);
  t.same(await pair.a.mirror.call('goSolo', {}), { released: 0 });
  pair.fake.cut();
  const waiting = pair.a.mirror.call('startSource', {});
  waiting.catch(() => {});
  t.ok(await isPending(waiting));
  await pair.a.mirror.call('goSolo', {});
  await t.rejects(waiting, /goes on alone/);
  pair.fake.mend();
  await pair.b.mirror.call('startTarget', {});
  pair.a.interval.current = 3;
  await t.rejects(pair.a.mirror.call('startSource', {}), /interval is 3/);
  pair.a.interval.current = 0;
  await pair.a.mirror.call('startSource', {});
  t.equal((await pair.a.mirror.call('status', {})).mode, 'source');
  await t.rejects(pair.b.mirror.call('takeOver', {}), /this copy is 'target', not 'replica'/);
  await t.rejects(pair.b.commit.call('decide', { interval: 1 }), /not a replica/);
});

t.test('a partner that was started again is met in its new session', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.a.mirror.call('serveSolo', {});
  await pair.b.mirror.call('startTarget', {});
  // The request is under way when the old session ends.
  pair.fake.a.hold();
  const source = pair.a.mirror.call('startSource', {});
  await until(() => pair.fake.a.sent.length > 0, 'the request is on its way');
  pair.fake.b.reset();
  pair.fake.a.release();
  await source;
  t.equal((await pair.a.mirror.call('status', {})).mode, 'source');
  t.same(pair.a.lost, []);
});

t.test('links lost: writes and flushes are held, reads are served; mended: they end', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(4096, 1));
  pair.fake.cut();
  const held = guest.write(4096, Buffer.alloc(4096, 2));
  const flush = guest.flush();
  t.ok(await isPending(held));
  t.ok(await isPending(flush));
  t.equal((await guest.read(0, 1))[0], 1);
  const status = await pair.a.mirror.call('status', {});
  t.equal(status.pendingWrites, 2);
  t.ok(status.oldestPendingMs >= 0);
  pair.fake.mend();
  await Promise.all([held, flush]);
  t.equal(pair.b.disk()[4096], 2);
  t.same(pair.a.lost, []);
});

t.test('session lost: held also when links are back, until goSolo; then a new source attaches', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await pair.a.connect();
  pair.fake.cut();
  const held = guest.write(0, Buffer.alloc(4096, 7));
  const second = guest.write(100, Buffer.alloc(4096, 8));
  pair.fake.a.reset();
  pair.fake.mend();
  await until(() => pair.a.lost.length > 0, 'the loss is reported');
  t.match(pair.a.lost[0], /session ended/);
  const after = guest.write(8192, Buffer.alloc(512, 9));
  for (const w of [held, second, after]) t.ok(await isPending(w));
  t.equal(pair.b.disk()[0], 0, 'the partner has nothing of it');
  // A first write to an extent waits for its record before it waits for the partner.
  while ((await pair.a.mirror.call('status', {})).pendingWrites < 2) await new Promise((resolve) => setImmediate(resolve));
  const { released } = await pair.a.mirror.call('goSolo', {});
  t.ok(released >= 2, `${released} released`);
  await Promise.all([held, second, after]);
  t.equal((await pair.a.mirror.call('status', {})).mode, 'solo');
  t.equal(pair.a.disk()[99], 7);
  t.equal(pair.a.disk()[100], 8, 'overlapping writes in their order');
  await t.rejects(pair.a.mirror.call('startSource', {}), /partner is a replica/);
  await pair.b.mirror.call('close', {});
  await pair.b.mirror.call('startTarget', {});
  await pair.a.mirror.call('startSource', {});
  await pair.a.mirror.call('resync', {});
  t.ok(pair.a.disk().equals(pair.b.disk()));
});

t.test('intervals: the replica sees the last commit and its own writes, never the open interval', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await pair.a.connect();
  const secondary = await pair.b.connect();
  await primary.write(0, Buffer.alloc(4096, 1));
  t.equal((await secondary.read(0, 1))[0], 1, 'interval 0 is applied at once');
  pair.a.interval.current = 1;
  await primary.write(0, Buffer.alloc(4096, 2));
  await primary.writeZeroes(2048, 1024);
  await primary.flush();
  t.equal((await secondary.read(0, 1))[0], 1);
  await secondary.write(512, Buffer.alloc(512, 0x50), true);
  await secondary.flush();
  t.same(await secondary.read(511, 2), Buffer.from([1, 0x50]));
  t.equal(pair.b.disk()[512], 1, 'private');
  await pair.checkpoint();
  const now = await secondary.read(0, 4096);
  t.equal(now[512], 2, 'the overlay is gone');
  t.equal(now[2048], 0);
  await primary.write(0, Buffer.alloc(100, 3));
  await t.rejects(pair.b.commit.call('apply', { interval: 2 }), /cannot be applied/);
  await pair.b.commit.call('decide', { interval: 2 });
  await t.rejects(pair.b.mirror.call('takeOver', {}), /decided and not applied/);
  await pair.b.commit.call('apply', { interval: 2 });
  t.equal((await secondary.read(99, 1))[0], 3);
  t.equal((await pair.b.mirror.call('status', {})).committed, 2);
});

t.test('takeover: the open interval goes, the overlay stays, the guest goes on', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await pair.a.connect();
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await primary.write(0, Buffer.alloc(8192, 1));
  await pair.checkpoint();
  await primary.write(0, Buffer.alloc(4096, 2));
  await secondary.write(4096, Buffer.alloc(4096, 3));
  pair.fake.cut();
  const [result, write] = await Promise.all([pair.b.mirror.call('takeOver', {}), secondary.write(8192, Buffer.alloc(4096, 4))]);
  t.same(result, { committed: 1, discardedBytes: 4096, mergedBytes: result.mergedBytes });
  t.equal(write, undefined);
  await secondary.write(12288, Buffer.alloc(4096, 5));
  await secondary.flush();
  const view = await secondary.read(0, 16384);
  t.same([view[0], view[4096], view[8192], view[12288]], [1, 3, 4, 5]);
  t.ok(pair.b.disk().subarray(0, 16384).equals(view));
  t.equal((await pair.b.mirror.call('status', {})).mode, 'solo');
  // The old primary comes back as target.
  await pair.a.mirror.call('close', {});
  pair.fake.mend();
  await pair.a.mirror.call('startTarget', {});
  await pair.b.mirror.call('startSource', {});
  await pair.b.mirror.call('resync', {});
  t.ok(pair.a.disk().equals(pair.b.disk()));
});

t.test('collapse: a late write of interval 0 waits for it; the copies end identical', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await pair.a.connect();
  const secondary = await pair.b.connect();
  pair.a.interval.current = 1;
  await primary.write(0, Buffer.alloc(4096, 1));
  await pair.checkpoint();
  await primary.write(0, Buffer.alloc(4096, 2));
  await secondary.write(0, Buffer.alloc(4096, 9));
  pair.a.interval.current = 0;
  const late = primary.write(1024, Buffer.alloc(1024, 3));
  t.ok(await isPending(late), 'neither lost nor acknowledged');
  const { appliedBytes } = await pair.b.mirror.call('collapse', {});
  t.equal(appliedBytes, 4096);
  await late;
  await primary.write(8192, Buffer.alloc(4096, 4));
  await primary.flush();
  t.ok(pair.a.disk().equals(pair.b.disk()));
  t.same([pair.b.disk()[0], pair.b.disk()[1024], pair.b.disk()[8192]], [2, 3, 4]);
});

t.test('collapse while the partner waits for a restore point of an interval that is never committed', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB, points: { directory: '', maximumBytes: 1 << 30, reserveBytes: 0 } });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await pair.a.connect();
  pair.a.interval.current = 1;
  await primary.write(0, Buffer.alloc(4096, 1));
  const taken = pair.a.mirror.call('takePoint', { name: 'late', kind: 'operator', takenAt: 1 });
  await until(() => pair.fake.a.sent.some((m) => m.includes('"step":"cut"')), 'the cut is asked for');
  await pair.checkpoint();
  pair.a.interval.current = 3;
  await until(() => pair.fake.a.sent.some((m) => m.includes('"step":"keep"')), 'the source has cut, the partner is to keep');
  pair.a.interval.current = 0;
  await pair.b.mirror.call('collapse', {});
  t.match((await taken).alone, /lockstep ended/);
  await primary.write(4096, Buffer.alloc(4096, 2));
  await primary.flush();
  t.ok(pair.a.disk().equals(pair.b.disk()));
});

t.test('the session ends in the moment in which the partner agrees to follow', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  await pair.b.mirror.call('open', {});
  await pair.b.mirror.call('startTarget', {});
  pair.fake.a.once('message', () => pair.fake.a.reset());
  await pair.a.mirror.call('startSource', {});
  await pair.a.mirror.call('resync', {});
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(4096, 1));
  await guest.flush();
  t.ok(pair.a.disk().equals(pair.b.disk()));
});

t.test('a disk that fails is reported and never shown to the guest while there is a partner', async (t) => {
  let broken = false;
  const pair = new MirrorPair({
    sizeBytes: MIB,
    openStore: async (o) => {
      const store = await FileStore.open(o);
      const write = store.write.bind(store);
      if (o.path.endsWith('disk-A')) {
        store.write = async (offset, ...parts) => {
          if (broken) throw new StoreError('io', 'write', offset, 'broken');
          await write(offset, ...parts);
        };
      }
      return store;
    },
  });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await pair.a.connect();
  broken = true;
  const w = guest.write(0, Buffer.alloc(512, 1));
  w.catch(() => {});
  await until(() => pair.a.diskErrors.length > 0, 'the error is reported');
  t.ok(await isPending(w));
  await until(() => pair.b.disk()[0] === 1, 'the partner has it');
  await pair.a.mirror.call('goSolo', {});
  await t.rejects(w, { code: 'EIO' });
});

t.test("the partner's disk fails: the source is told, and holds", async (t) => {
  let broken = false;
  const pair = new MirrorPair({
    sizeBytes: MIB,
    openStore: async (o) => {
      const store = await FileStore.open(o);
      const write = store.write.bind(store);
      if (o.path.endsWith('journal-B.0')) {
        store.write = async (offset, ...parts) => {
          if (broken) throw new StoreError('noSpace', 'write', offset, 'full', 'ENOSPC');
          await write(offset, ...parts);
        };
      }
      return store;
    },
  });
  t.teardown(() => pair.end());
  await pair.protect();
  const guest = await pair.a.connect();
  pair.a.interval.current = 1;
  await guest.write(0, Buffer.alloc(512, 1));
  broken = true;
  const w = guest.write(0, Buffer.alloc(512, 2));
  await until(() => pair.a.lost.length > 0, 'the loss is reported');
  t.same([pair.a.lost, new Set(pair.b.diskErrors)], [['full'], new Set(['full'])]);
  t.ok(await isPending(w));
  await t.rejects(pair.b.commit.call('decide', { interval: 1 }), /full/);
  await pair.a.mirror.call('goSolo', {});
  await w;
});

t.test('a journal left by a crash is replayed at open', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await pair.a.connect();
  pair.a.interval.current = 1;
  await primary.write(0, Buffer.alloc(4096, 1));
  await pair.checkpoint();
  await primary.write(0, Buffer.alloc(4096, 2));
  // Another process opens what this one would leave if it died now; its disk is as before the first interval.
  const again = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => again.end());
  writeFileSync(again.a.setup.diskPath, Buffer.alloc(MIB));
  for (const end of ['.0', '.1']) {
    const from = await FileStore.open({ path: `${pair.b.setup.journalPath}${end}`, sizeBytes: MIB });
    const to = await FileStore.open({ path: `${again.a.setup.journalPath}${end}`, sizeBytes: 1024 * MIB });
    await to.write(0, await from.read(0, MIB));
    await Promise.all([from.close(), to.close()]);
  }
  t.same(await again.a.mirror.call('open', {}), { committed: 1, replayed: 8192, discarded: 0, notes: [] });
  t.equal(again.a.disk()[0], 2, 'also what no checkpoint covers: the memory is lost, the write is not');
  t.same(await again.a.mirror.call('open', {}), { committed: 1, replayed: 0, discarded: 0, notes: [] });
  await again.a.mirror.call('close', {});
  t.same(await again.a.mirror.call('open', {}), { committed: 0, replayed: 0, discarded: 0, notes: [] });
});

t.test('a resync compares what may differ; of a disk that is not known, everything', async (t) => {
  const sizeBytes = 64 * MIB;
  const pair = new MirrorPair({ sizeBytes });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await pair.a.connect();
  /** B goes, A writes alone, B comes back. */
  const outage = async (meanwhile: () => void): Promise<{ comparedBytes: number; why: string }> => {
    pair.fake.cut();
    await pair.a.mirror.call('goSolo', {});
    await guest.write(20 * MIB, randomBytes(MIB));
    await pair.b.mirror.call('close', {});
    meanwhile();
    pair.fake.mend();
    await pair.b.mirror.call('startTarget', {});
    await pair.a.mirror.call('startSource', {});
    const done = await pair.a.mirror.call('resync', {});
    t.ok(pair.a.disk().equals(pair.b.disk()));
    return done;
  };
  const regions = `${pair.b.setup.journalPath}.regions`;
  t.match(await outage(() => {}), { comparedBytes: 4 * MIB, copiedBytes: MIB, why: /1 of 16 extents/ });
  t.match(await outage(() => {}), { comparedBytes: 4 * MIB, why: /1 of 16 extents/ }, 'again');
  t.match(await outage(() => rmSync(regions)), { comparedBytes: sizeBytes, why: /whole disk.*no generation in common/ }, 'no record');
  t.match(
    await outage(() => rmSync(pair.b.setup.diskPath)),
    { comparedBytes: sizeBytes, why: /whole disk/ },
    'a new disk in place of the old one',
  );
  t.match(await outage(() => writeFileSync(regions, randomBytes(77_824))), { comparedBytes: sizeBytes, why: /whole disk/ }, 'damaged');
  t.match(await outage(() => {}), { comparedBytes: 4 * MIB }, 'and known again');
});
