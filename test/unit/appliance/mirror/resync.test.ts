// The resync against a partner that is played by the test: what it is asked, in which pieces, and what waits meanwhile.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { COMPARE_BLOCK_BYTES, decodeMessage, encodeMessageHeader, type MirrorMessage } from '../../../../appliance/mirror/messages.ts';
import { Partner } from '../../../../appliance/mirror/partner.ts';
import { RangeLock } from '../../../../appliance/mirror/range-lock.ts';
import { type ResyncProgress, resync } from '../../../../appliance/mirror/resync.ts';
import { WriteLatencies } from '../../../../appliance/mirror/write-latencies.ts';
import type { BlockStore } from '../../../../drivers/block/index.ts';
import { fakePair } from '../../../../drivers/link/fake.ts';

const KIB = 1024;
const PIECE = 256 * KIB;
const EXTENT = 1024 * KIB;

function memoryStore(content: Buffer): BlockStore & { flushes: number } {
  const store = {
    sizeBytes: content.length,
    flushes: 0,
    read: async (offset: number, length: number) => Buffer.from(content.subarray(offset, offset + length)),
    write: async () => Promise.reject(new Error('a resync does not write to the source')),
    zero: async () => Promise.reject(new Error('a resync does not write to the source')),
    flush: async () => {
      store.flushes++;
    },
    close: async () => undefined,
  };
  return store;
}

/** @param answer What the partner says; undefined: nothing, until `reply`. */
function setUp(content: Buffer, answer: (m: MirrorMessage) => Uint8Array | undefined) {
  const { a, b } = fakePair();
  const asked: MirrorMessage[] = [];
  const reply = (m: MirrorMessage, data: Uint8Array): void => {
    b.send(encodeMessageHeader({ ...m, kind: 'answer', status: 'ok', length: data.length }), data);
  };
  b.on('message', (bytes) => {
    const m = decodeMessage(bytes);
    asked.push(m);
    const data = answer(m);
    if (data) reply(m, data);
  });
  const partner = new Partner(a, 7, () => undefined);
  a.on('message', (bytes) => partner.answered(decodeMessage(bytes)));
  const disk = memoryStore(content);
  const lock = new RangeLock();
  const told: ResyncProgress[] = [];
  const watched: boolean[] = [];
  /** How much had been asked by then. */
  const ends: number[] = [];
  const learned: { offset: number; data: Uint8Array }[] = [];
  const run = (extents: number[] | null) =>
    resync({
      disk,
      rescue: async () => Promise.reject(new Error('all of it can be read')),
      giveUp: async () => Promise.reject(new Error('nothing is lost')),
      partner,
      lock,
      suspects: extents && { extents: new Set(extents), extentBytes: EXTENT },
      maximumBytesPerS: undefined,
      watchWrites: (latencies) => watched.push(latencies !== undefined),
      learn: async (offset, data) => void learned.push({ offset, data }),
      end: async () => {
        ends.push(asked.length);
      },
      onProgress: (p) => told.push(p),
    });
  return { asked, reply, partner, disk, lock, told, watched, ends, learned, run };
}

const differing = (m: MirrorMessage, differs: (block: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: Math.ceil(m.length / COMPARE_BLOCK_BYTES) }, (_, i) =>
    differs(Math.floor(m.offset / COMPARE_BLOCK_BYTES) + i) ? 1 : 0,
  );

t.test('only what may differ is compared, only what differs is sent, zeroes as such', async (t) => {
  const content = randomBytes(4 * EXTENT + 4096);
  const zero = 2 * EXTENT + COMPARE_BLOCK_BYTES;
  content.fill(0, zero, zero + COMPARE_BLOCK_BYTES);
  const first = (2 * EXTENT) / COMPARE_BLOCK_BYTES;
  const s = setUp(content, (m) =>
    m.kind === 'compare' ? differing(m, (block) => block === first || block === first + 1) : new Uint8Array(),
  );
  t.same(await s.run([4, 2]), { comparedBytes: EXTENT + 4096, copiedBytes: 2 * COMPARE_BLOCK_BYTES });
  const compared = s.asked.filter((m) => m.kind === 'compare').map((m) => [m.offset, m.length]);
  t.same(
    compared.sort((x, y) => (x[0] ?? 0) - (y[0] ?? 0)),
    [0, 1, 2, 3].map((i) => [2 * EXTENT + i * PIECE, PIECE]).concat([[4 * EXTENT, 4096]]),
  );
  const sent = s.asked.filter((m) => m.kind === 'write' || m.kind === 'zero');
  t.same(
    sent.map((m) => [m.kind, m.offset, m.length]),
    [
      ['write', 2 * EXTENT, COMPARE_BLOCK_BYTES],
      ['zero', zero, COMPARE_BLOCK_BYTES],
    ],
  );
  t.ok(content.subarray(2 * EXTENT, 2 * EXTENT + COMPARE_BLOCK_BYTES).equals(Buffer.from(sent[0]?.data ?? [])));
  t.same(s.ends, [s.asked.length], 'ended once, after everything was sent');
  t.match(s.told.at(-1), { comparedBytes: EXTENT + 4096, totalBytes: EXTENT + 4096, copiedBytes: 2 * COMPARE_BLOCK_BYTES });
  t.same(
    s.learned.map(({ offset, data }) => [offset, data.length]).sort((x, y) => (x[0] ?? 0) - (y[0] ?? 0)),
    compared,
    'both have all of it',
  );
  t.ok(s.learned.every(({ offset, data }) => content.subarray(offset, offset + data.length).equals(data)));
  t.same(s.watched, [true, false], "the guest's writes are timed as long as it runs");
});

t.test('a silent partner holds up four pieces, not more; the rest of the disk stays free for the guest', async (t) => {
  const held: MirrorMessage[] = [];
  let holding = true;
  const s = setUp(randomBytes(4 * EXTENT), (m) => {
    if (m.kind !== 'compare') return new Uint8Array();
    if (!holding) return differing(m, () => false);
    held.push(m);
    return undefined;
  });
  const running = s.run(null);
  while (held.length < 4) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  t.same(
    held.map((m) => m.offset),
    [0, PIECE, 2 * PIECE, 3 * PIECE],
  );
  const next = s.lock.enter(4 * PIECE, 4 * PIECE + 4096);
  t.equal(next.wait, undefined, 'the next piece is not locked yet');
  s.lock.leave(next.entry);
  const { wait, entry } = s.lock.enter(PIECE, PIECE + 4096);
  t.type(wait, Promise, 'a piece under way is');
  holding = false;
  for (const m of held)
    s.reply(
      m,
      differing(m, () => false),
    );
  await wait;
  s.lock.leave(entry);
  t.match(await running, { comparedBytes: 4 * EXTENT, copiedBytes: 0 });
});

t.test('a partner that is lost ends it', async (t) => {
  const s = setUp(randomBytes(2 * EXTENT), (m) => {
    if (m.kind === 'compare') s.partner.lose('the links are cut');
    return undefined;
  });
  await t.rejects(s.run(null), /the links are cut/);
  t.same(s.watched, [true, false]);
  t.same(s.ends, [], 'and nothing counts as equal');
});

t.test('p95 of the latest writes', async (t) => {
  const latencies = new WriteLatencies();
  t.same(latencies.take(), { writes: 0, p95Ms: 0 });
  for (let i = 100; i >= 1; i--) latencies.add(i);
  t.same(latencies.take(), { writes: 100, p95Ms: 95 });
  t.same(latencies.take(), { writes: 0, p95Ms: 0 }, 'each is counted once');
  for (let i = 0; i < 5000; i++) latencies.add(i < 2500 ? 1000 : 2);
  t.same(latencies.take(), { writes: 5000, p95Ms: 2 });
});
