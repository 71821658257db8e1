// A file beside the disk hangs or fails under one of two mirrors joined in memory: it is told as the disk's own fault is, nobody waits for it
// longer than for the disk, and the other copy can go on.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { MirrorEvents } from '../../../../appliance/mirror/api.ts';
import { METADATA_BYTES } from '../../../../appliance/mirror/metadata.ts';
import { METADATA_PAGE_BYTES } from '../../../../appliance/mirror/metadata-codec.ts';
import type { NbdClient } from '../../../../drivers/nbd/index.ts';
import { type Fault, faultyPair } from './faulty-pair.ts';
import { type MirrorPair, type Side, until } from './mirror-pair.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

const MIB = 1024 * 1024;
/** In the second extent: nothing was written there before. */
const COLD = 5 * MIB;
/** No request of these tests takes that long. */
const FAR_MS = 60_000;

function errorsOf(side: Side): MirrorEvents['diskError'][] {
  const errors: MirrorEvents['diskError'][] = [];
  side.mirror.on('diskError', (e) => errors.push(e));
  return errors;
}

function cause(fault: Fault, how: 'hang' | 'write' | 'flush'): void {
  if (how === 'hang') fault.hang();
  else fault.fails = how;
}

async function drained(side: Side): Promise<void> {
  while ((await side.mirror.call('status', {})).stuckRequests > 0) await sleep(5);
}

/** A in duplex with B, its guest connected; a first extent is hot. */
async function protectedPair(pair: MirrorPair): Promise<NbdClient> {
  await pair.protect();
  const guest = await pair.a.connect();
  await guest.write(0, Buffer.alloc(4096, 1));
  pair.a.interval.current = 1;
  return guest;
}

for (const [file, how] of [
  ['regions', 'hang'],
  ['regions', 'write'],
  ['regions', 'flush'],
  ['sums', 'hang'],
] as const)
  t.test(`the source's ${file} (${how}): told, the guest's write is held, the partner takes over; in doubt afterwards`, async (t) => {
    const [pair, fault] = faultyPair(t, `journal-A.${file}`, { timeoutMs: 200, acknowledgeMs: FAR_MS });
    const errors = errorsOf(pair.a);
    const guest = await protectedPair(pair);
    cause(fault, how);
    let answered = false;
    const held = guest.write(COLD, Buffer.alloc(4096, 2)).then(
      () => {
        answered = true;
      },
      () => undefined,
    );
    await until(() => errors.length > 0, 'it is told');
    t.ok(errors[0]?.isOver);
    t.match(errors[0]?.message, how === 'hang' ? new RegExp(`journal-A.${file}: the disk does not answer for 0.2 s`) : `${how} failed`);
    if (how === 'hang') t.ok((await pair.a.mirror.call('status', {})).stuckRequests > 0, 'the end of the process knows of it');
    await pair.b.mirror.call('takeOver', {});
    const there = await pair.b.connect();
    t.equal((await there.read(0, 1))[0], 1);
    await pair.a.mirror.call('close', {});
    await held;
    t.notOk(answered, 'the guest never saw an answer');
    if (how === 'hang') await t.rejects(pair.a.mirror.call('open', {}), /still does not answer: \d+ earlier request/);
    fault.mend();
    await drained(pair.a);
    fault.written.clear();
    await pair.a.mirror.call('open', {});
    const whole = Array.from({ length: METADATA_BYTES / METADATA_PAGE_BYTES }, (_, page) => page * METADATA_PAGE_BYTES);
    if (file === 'regions')
      t.same(
        [...fault.written].sort((a, b) => a - b),
        whole,
        'its cache is not believed: it is written again',
      );
    t.match((await pair.a.mirror.call('status', {})).doubt, errors[0]?.message);
    await pair.a.mirror.call('startTarget', {});
    await pair.b.mirror.call('startSource', {});
    await pair.b.mirror.call('resync', {});
    await there.flush();
    t.ok(pair.a.disk().equals(pair.b.disk()));
    t.equal((await pair.a.mirror.call('status', {})).doubt, null);
    t.same(pair.a.unreadable, [], 'every checksum that counts fits');
  });

for (const how of ['hang', 'write', 'flush'] as const)
  t.test(`the replica's journal (${how}): told, and the source too`, async (t) => {
    const [pair, fault] = faultyPair(t, 'journal-B.0', { timeoutMs: 200, acknowledgeMs: FAR_MS });
    const errors = errorsOf(pair.b);
    const guest = await protectedPair(pair);
    cause(fault, how);
    const w = guest.write(4096, Buffer.alloc(4096, 3)).then(() => guest.flush());
    await until(() => errors.length > 0, 'it is told');
    t.ok(errors[0]?.isOver);
    await until(() => pair.a.lost.length > 0, 'the source is told');
    await pair.a.mirror.call('goSolo', {});
    await w;
    await pair.b.mirror.call('close', {});
  });

t.test('the catalogue of restore points hangs: told, and closed all the same', async (t) => {
  const [pair, fault] = faultyPair(t, 'journal-A.points', { timeoutMs: 200 });
  const errors = errorsOf(pair.a);
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  fault.hang();
  await t.rejects(pair.a.mirror.call('takePoint', { name: 'one', kind: 'operator', takenAt: 1 }));
  t.match(errors, [{ isOver: true, message: /journal-A.points: the disk does not answer for 0.2 s/ }]);
  await pair.a.mirror.call('close', {});
});

t.test('alone, with checksums that hang: no extent is written to whose old sums would be believed later', async (t) => {
  const [pair, fault] = faultyPair(t, 'journal-A.sums', { timeoutMs: 200 });
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const guest = await pair.a.connect();
  for (const at of [0, COLD]) await guest.write(at, Buffer.alloc(4096, 1));
  guest.destroy();
  // All clean: their sums count from now on.
  await pair.a.mirror.call('close', {});
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const again = await pair.a.connect();
  await again.write(0, Buffer.alloc(4096, 2));
  fault.hang();
  await t.rejects(again.write(COLD, Buffer.alloc(4096, 2)), { code: 'EIO' });
  await again.write(0, Buffer.alloc(4096, 3));
  again.destroy();
  await pair.a.mirror.call('close', {});
  fault.mend();
  await drained(pair.a);
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const last = await pair.a.connect();
  t.same([(await last.read(0, 1))[0], (await last.read(COLD, 1))[0]], [3, 1]);
});

t.test('an open that fails leaves the doubt behind, and nothing that is open', async (t) => {
  const [pair, fault] = faultyPair(t, 'journal-A.regions', { timeoutMs: 200 });
  fault.fails = 'flush';
  await t.rejects(pair.a.mirror.call('open', {}), /flush failed/);
  const mark = `${pair.a.setup.journalPath}.doubtful`;
  t.ok(existsSync(mark), 'it is there as soon as the open has ended');
  t.equal(readFileSync(mark, 'utf8'), 'flush failed\n');
  fault.mend();
  await pair.a.mirror.call('open', {});
  t.equal((await pair.a.mirror.call('status', {})).doubt, 'flush failed');
});
