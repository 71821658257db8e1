import fc from 'fast-check';
import t from 'tap';
import { HELD_ENTRY_OVERHEAD_BYTES, type HeldBatch, HeldOutput, NEVER } from '../../../../appliance/gate/held-output.ts';

const LIMIT = 40 * (HELD_ENTRY_OVERHEAD_BYTES + 8);

type Op =
  | { op: 'frame' }
  | { op: 'bump' }
  | { op: 'observe' }
  /** The memory stream ended: its counter is 0 again. */
  | { op: 'end' }
  /** Commits the interval `back` before the current one. */
  | { op: 'commit'; back: number }
  | { op: 'freeze'; frozen: boolean }
  | { op: 'releaseAll' }
  | { op: 'dropAll' };

const weighted = fc.oneof(
  { weight: 20, arbitrary: fc.constant<Op>({ op: 'frame' }) },
  { weight: 6, arbitrary: fc.constant<Op>({ op: 'bump' }) },
  { weight: 6, arbitrary: fc.constant<Op>({ op: 'observe' }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('commit' as const), back: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('freeze' as const), frozen: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant<Op>({ op: 'end' }) },
  { weight: 1, arbitrary: fc.constant<Op>({ op: 'releaseAll' }) },
  { weight: 1, arbitrary: fc.constant<Op>({ op: 'dropAll' }) },
);

/** Drives a HeldOutput and keeps, independently, in which interval of which session every frame was read and what was committed. */
function run(ops: Op[]): void {
  const held = new HeldOutput(LIMIT);
  let counter = 0;
  let session = 0;
  let frozen = false;
  /** Whether an interval above 0 was ever shown to it. */
  let begun = false;
  let next = 0;
  let dropped = 0;
  let thrown = 0;
  /** Per session: the highest committed interval. */
  const committed = new Map<number, number>();
  const read: { session: number; interval: number; hadBegun: boolean }[] = [];
  const out: number[] = [];
  const label = (b: Buffer) => b.readUInt32BE(4);

  const leave = (list: readonly HeldBatch[], granted: boolean): void => {
    for (const h of list) {
      const n = label(h.batch);
      const r = read[n];
      if (!r) throw new Error('a frame that was never offered');
      const isUnprotected = r.interval === 0 && !r.hadBegun;
      // A checkpoint of a later session is a whole state of the same guest: it covers everything before it.
      const isOwn = r.interval > 0 && (committed.get(r.session) ?? 0) >= r.interval;
      const isCovered = !frozen && (isUnprotected || isOwn || [...committed].some(([s, n]) => s > r.session && n > 0));
      if (!granted && !isCovered) throw new Error(`frame ${n} of session ${r.session} interval ${r.interval} left uncommitted`);
      out.push(n);
    }
  };

  for (const op of ops) {
    switch (op.op) {
      case 'frame': {
        begun ||= counter > 0;
        const batch = Buffer.alloc(8);
        batch.writeUInt32BE(next, 4);
        read.push({ session, interval: counter, hadBegun: begun });
        const verdict = held.offer(batch, 1, counter, frozen, 0);
        if (verdict.kind === 'pass') leave([{ interval: 0, batch, frames: 1, at: 0 }], false);
        else if (verdict.kind === 'dropped') dropped++;
        next++;
        break;
      }
      case 'bump':
        counter++;
        break;
      case 'observe':
        begun ||= counter > 0;
        held.observe(counter);
        break;
      case 'end':
        if (counter > 0) session++;
        counter = 0;
        break;
      case 'commit': {
        const n = Math.max(0, counter - op.back);
        begun ||= n > 0;
        committed.set(session, Math.max(n, committed.get(session) ?? 0));
        leave(held.commit(n, frozen), false);
        break;
      }
      case 'freeze':
        frozen = op.frozen;
        if (!frozen) leave(held.thaw(), false);
        break;
      case 'releaseAll':
        leave(held.takeAll(), true);
        break;
      case 'dropAll':
        thrown += held.takeAll().length;
        break;
      default:
        op satisfies never;
    }
    if (held.bytes > LIMIT) throw new Error('over the limit');
    if (out.some((n, i) => i > 0 && n <= (out[i - 1] ?? -1))) throw new Error('out of order');
    if (out.length + held.frames + dropped + thrown !== next) throw new Error('frames lost or doubled');
  }
}

t.test('property: nothing leaves before its commit; order kept; nothing lost; bounded', async () => {
  fc.assert(fc.property(fc.array(weighted, { maxLength: 300 }), run), { numRuns: 2000 });
});

t.test('interval 0 passes, interval 1 is held and reported once, a commit releases it', async (t) => {
  const held = new HeldOutput();
  const b = Buffer.alloc(100);
  t.same(held.offer(b, 1, 0, false, 0), { kind: 'pass' });
  t.same(held.offer(b, 1, 1, false, 5), { kind: 'held', first: true });
  t.same(held.offer(b, 2, 1, false, 6), { kind: 'held', first: false });
  t.same(held.offer(b, 1, 2, false, 7), { kind: 'held', first: true });
  t.equal(held.frames, 4);
  t.equal(held.oldestMs(25), 20);
  t.same(held.commit(0, false), []);
  t.equal(held.commit(1, false).length, 2);
  t.equal(held.frames, 1);
  t.equal(held.oldestMs(27), 20);
  t.same(held.offer(b, 1, 2, false, 8), { kind: 'held', first: false }, 'still interval 2: reported already');
  t.equal(held.commit(2, false).length, 2);
  t.equal(held.bytes, 0);
  t.equal(held.oldestMs(99), 0);
});

t.test('a counter that went back: the session ended, no commit releases what follows', async (t) => {
  const held = new HeldOutput();
  const b = Buffer.alloc(100);
  held.offer(b, 1, 4, false, 0);
  t.same(held.offer(b, 1, 0, false, 0), { kind: 'held', first: false });
  t.equal(held.commit(5, false).length, 1, 'only the one of interval 4');
  t.equal(held.frames, 1);
  t.equal(held.takeAll()[0]?.interval, NEVER);
});

t.test('frozen: commits are remembered and count after the thaw', async (t) => {
  const held = new HeldOutput();
  const b = Buffer.alloc(100);
  held.offer(b, 1, 1, true, 0);
  t.same(held.commit(1, true), []);
  held.offer(b, 1, 2, true, 0);
  t.equal(held.thaw().length, 1);
  t.equal(held.frames, 1);
});

t.test('frozen before the first interval: held, and free again at the thaw', async (t) => {
  const held = new HeldOutput();
  t.same(held.offer(Buffer.alloc(100), 1, 0, true, 0).kind, 'held');
  t.equal(held.thaw().length, 1);
});

t.test('at the limit the oldest stay', async (t) => {
  const held = new HeldOutput(2 * (HELD_ENTRY_OVERHEAD_BYTES + 100));
  const make = (n: number) => Buffer.alloc(100, n);
  held.offer(make(1), 1, 1, false, 0);
  held.offer(make(2), 1, 1, false, 0);
  t.same(held.offer(make(3), 1, 1, false, 0), { kind: 'dropped' });
  t.same(
    held.commit(1, false).map((h) => h.batch[0]),
    [1, 2],
  );
});

t.test('a protection cannot begin over what an earlier one holds', async (t) => {
  const held = new HeldOutput();
  held.offer(Buffer.alloc(100), 1, 1, false, 0);
  t.throws(() => held.begin(), /still held/);
  held.takeAll();
  held.begin();
  t.same(held.offer(Buffer.alloc(100), 1, 0, false, 0), { kind: 'pass' });
  t.throws(() => held.commit(NEVER, false), RangeError);
  t.throws(() => held.commit(Number.NaN, false), RangeError);
});
