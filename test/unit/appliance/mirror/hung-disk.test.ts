// A disk that hangs or fails under one of two mirrors joined in memory: nobody waits for it, and it comes back by a resync that trusts
// nothing it reads.
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { MirrorEvents } from '../../../../appliance/mirror/api.ts';
import { DoubtfulDisk } from '../../../../appliance/mirror/doubtful-disk.ts';
import { faultyPair } from './faulty-pair.ts';
import { until } from './mirror-pair.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

const MIB = 1024 * 1024;

function rot(path: string, at: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from([0xee]), 0, 1, at);
  closeSync(fd);
}

t.test("the partner's disk hangs: the guest waits for the acknowledgement's time and no longer than that", async (t) => {
  const [pair, fault] = faultyPair(t, 'disk-B', { acknowledgeMs: 200 });
  await pair.equalise();
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(4096, 1));
  fault.hang();
  const w = guest.write(4096, Buffer.alloc(4096, 2));
  await until(() => pair.a.lost.length > 0, 'the partner is lost');
  t.match(pair.a.lost, [/^the partner has not acknowledged a write for 0\.2 s$/]);
  t.same(await pair.a.mirror.call('goSolo', {}), { released: 1 });
  await w;
});

for (const who of ['resync', 'scrub', 'rescue'] as const)
  t.test(`the partner's disk hangs, and the guest waits for a ${who}: as long as for a write of its own`, async (t) => {
    const [pair, fault] = faultyPair(t, 'disk-B', { acknowledgeMs: 200, timeoutMs: 60_000 });
    await pair.equalise();
    const guest = await pair.a.connect();
    await guest.write(0, Buffer.alloc(4096, 1));
    await guest.flush();
    if (who === 'resync') {
      // Joined anew: nothing of it is asked before the fault.
      await pair.a.mirror.call('goSolo', {});
      await pair.b.mirror.call('close', {});
      await pair.b.mirror.call('open', {});
      await pair.b.mirror.call('startTarget', {});
      await pair.a.mirror.call('startSource', {});
    }
    fault.hang();
    if (who === 'resync') pair.a.mirror.call('resync', {}).catch(() => undefined);
    if (who === 'scrub') await pair.a.mirror.call('startScrub', {});
    if (who === 'rescue') rot(pair.a.setup.diskPath, 100);
    else await until(() => fault.waiting > 0, 'the partner was asked');
    t.same(pair.a.lost, []);
    const waits: Promise<unknown> = who === 'rescue' ? guest.read(0, 4096) : guest.write(8192, Buffer.alloc(4096, 2));
    waits.catch(() => undefined);
    await until(() => pair.a.lost.length > 0, 'the partner is lost');
    t.match(pair.a.lost, [/^the partner has not acknowledged a write for 0\.2 s$/]);
    await pair.a.mirror.call('goSolo', {});
    if (who === 'rescue') await t.rejects(waits, { code: 'EIO' }, 'no copy has it any more');
    else await t.resolves(waits);
  });

t.test('who waits for a write that waits for the disk here does not hold that against the partner', async (t) => {
  const [pair, fault] = faultyPair(t, 'disk-A', { acknowledgeMs: 100, timeoutMs: 600 });
  await pair.equalise();
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(4096, 1));
  fault.hang();
  for (const n of [2, 3]) guest.write(0, Buffer.alloc(4096, n)).catch(() => undefined);
  await until(() => pair.a.diskErrors.length > 0, 'the disk has failed');
  t.same(pair.a.lost, []);
});

for (const how of ['hang', 'write', 'flush'] as const)
  t.test(
    `the disk of a target fails (${how}): told, closed at once, refused while it is silent; then tested, and written again`,
    async (t) => {
      const [pair, fault] = faultyPair(t, 'disk-B', { timeoutMs: 200, acknowledgeMs: 60_000 });
      const errors: MirrorEvents['diskError'][] = [];
      pair.b.mirror.on('diskError', (e) => errors.push(e));
      await pair.equalise();
      const guest = await pair.a.connect();
      if (how === 'hang') fault.hang();
      else fault.fails = how;
      const w = guest.write(MIB, Buffer.alloc(4096, 3)).then(() => guest.flush());
      await until(() => errors.length > 0, 'the error is reported');
      t.ok(errors[0]?.isOver);
      t.match(errors[0]?.message, how === 'hang' ? /does not answer for 0\.2 s/ : `${how} failed`);
      await until(() => pair.a.lost.length > 0, 'the source is told');
      await pair.a.mirror.call('goSolo', {});
      await w;
      await pair.b.mirror.call('close', {});
      if (how === 'hang') {
        await t.rejects(pair.b.mirror.call('startTarget', {}), /still does not answer: \d+ earlier request/);
        t.ok((await pair.b.mirror.call('status', {})).stuckRequests > 0);
      } else {
        await t.rejects(pair.b.mirror.call('startTarget', {}), `${how} failed`);
        await pair.b.mirror.call('close', {});
      }
      fault.mend();
      while ((await pair.b.mirror.call('status', {})).stuckRequests > 0) await sleep(5);
      await pair.b.mirror.call('open', {});
      t.not((await pair.b.mirror.call('status', {})).doubt, null, 'it is still in doubt');
      await pair.b.mirror.call('startTarget', {});
      await pair.a.mirror.call('startSource', {});
      const { comparedBytes, copiedBytes, why } = await pair.a.mirror.call('resync', {});
      t.equal(copiedBytes, comparedBytes, 'nothing that it showed was believed');
      t.ok(copiedBytes < 8 * MIB, `incremental: ${why}`);
      t.equal((await pair.b.mirror.call('status', {})).doubt, null);
      await guest.flush();
      t.ok(pair.a.disk().equals(pair.b.disk()));
    },
  );

t.test("the replica's disk hangs: its guest gets no error, and no answer, until this copy is closed", async (t) => {
  const [pair, fault] = faultyPair(t, 'disk-B', { timeoutMs: 200, acknowledgeMs: 60_000 });
  const errors: MirrorEvents['diskError'][] = [];
  pair.b.mirror.on('diskError', (e) => errors.push(e));
  await pair.protect();
  const secondary = await pair.b.connect();
  fault.hang();
  let reason: unknown;
  const read = secondary.read(0, 4096).then(
    () => t.fail('there is nothing to read'),
    (e: unknown) => {
      reason = e;
    },
  );
  await until(() => errors.some((e) => e.isOver), 'this copy is told to be over');
  await secondary.write(4096, Buffer.alloc(4096, 1));
  t.equal((await secondary.read(4096, 1))[0], 1, 'its own world is there');
  t.equal(reason, undefined);
  await pair.b.mirror.call('close', {});
  await read;
  t.not((reason as { code?: string }).code, 'EIO', 'the connection ended');
});

t.test("the replica's block is lost and the source is gone: its guest waits until this copy has taken over", async (t) => {
  const [pair] = faultyPair(t, 'disk-B', { timeoutMs: 60_000 });
  await pair.protect();
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(8192, 1));
  pair.a.interval.current = 1;
  const secondary = await pair.b.connect();
  rot(pair.b.setup.diskPath, 100);
  pair.fake.a.reset();
  await until(() => pair.a.lost.length > 0, 'the session has ended');
  const read = secondary.read(0, 4096);
  let ended = false;
  const note = (): void => {
    ended = true;
  };
  read.then(note, note);
  t.equal((await secondary.read(4096, 1))[0], 1, 'others are served');
  for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(ended);
  await pair.b.mirror.call('takeOver', {});
  await t.rejects(read, { code: 'EIO' }, 'now it is the only copy');
});

t.test('whoever opens a disk again finds the doubt that has just begun', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'doubt-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'mark');
  const doubtful = await DoubtfulDisk.open(path);
  await doubtful.settled();
  const marked = [doubtful.doubt('flush failed'), doubtful.doubt('again')];
  await doubtful.settled();
  t.equal((await DoubtfulDisk.open(path)).why, 'flush failed');
  await Promise.all(marked);
  await doubtful.trust();
  t.equal((await DoubtfulDisk.open(path)).why, null);
});
