// Generations and suspects: what a resync has to look at, as a table, as properties, and lived through by two copies.
import fc from 'fast-check';
import t from 'tap';
import {
  activityLog,
  apart,
  beginWrite,
  clear,
  coolable,
  endWrite,
  isCrowded,
  joining,
  moment,
  settle,
  settleAll,
} from '../../../../appliance/core/activity-log.ts';
import {
  becomingEqual,
  broughtTogether,
  type CopyRecord,
  type CopyState,
  goneAlone,
  HISTORY_LIMIT,
  madeEqual,
  planResync,
} from '../../../../appliance/core/mirror.ts';
import { random } from '../mirror/losable-store.ts';
import { MirrorWorld, type Mutant } from './mirror-world.ts';

const SEEDS = Number(process.env.MIRROR_SEEDS ?? 300);
const STEPS = 2000;
t.setTimeout(60_000 + SEEDS * 100);

const START: CopyRecord = { pair: 'aa', current: 'g0', base: null, history: [], inconsistent: false };
const of = (record: CopyRecord, ...suspects: number[]): CopyState => ({ record, suspects: new Set(suspects) });
const alone = goneAlone(START, 'g1');

t.test('the plan', (t) => {
  t.same(planResync(of(START), of(START)), { kind: 'regions', extents: new Set() }, 'equal');
  t.same(planResync(of(START, 1), of(START, 2)), { kind: 'regions', extents: new Set([1, 2]) }, 'both crashed');
  t.same(planResync(of(alone, 1), of(START, 2)), { kind: 'source', extents: new Set([1, 2]) }, 'the partner was away');
  t.same(planResync(of(START, 2), of(alone, 1)), { kind: 'target', extents: new Set([1, 2]) }, 'seen from there');
  const twice = goneAlone(alone, 'g2');
  t.equal(planResync(of(twice), of(START)).kind, 'source', 'two starts ago');
  t.equal(planResync(of(twice), of(madeEqual(START, alone))).kind, 'source', 'it was made equal, and the source does not know');
  t.match(planResync(of(goneAlone(broughtTogether(alone), 'g2')), of(START)), { kind: 'full', source: 'mine' }, 'older than the suspects');
  t.equal(planResync(of(broughtTogether(alone)), of(START)).kind, 'full', 'the same while together');
  t.equal(planResync(of(alone), of(goneAlone(START, 'h1'))).kind, 'diverged', 'both alone');
  t.match(planResync(of(START), of({ ...START, current: 'z' })), { kind: 'full', source: null }, 'never equal: the arbitration says');
  t.equal(planResync(of(START), of({ ...START, pair: 'bb' })).kind, 'unrelated', "another pair's");
  t.match(planResync(of(START), null), { kind: 'full', source: null, reason: /the partner's copy/ });
  t.match(planResync(null, of(START)), { kind: 'full', source: null, reason: /the copy here/ });
  t.end();
});

t.test('a copy that was cut short is never copied from', (t) => {
  const cut = becomingEqual(START);
  t.equal(planResync(of(alone), of(cut)).kind, 'source');
  t.equal(planResync(of(START), of(cut)).kind, 'source', 'of one generation: the whole one is the source');
  t.equal(planResync(of(cut), of(START)).kind, 'target');
  t.equal(planResync(of(cut), of(cut)).kind, 'unusable');
  t.equal(planResync(of(becomingEqual(alone)), of(START)).kind, 'unusable');
  t.equal(planResync(of(alone), of(goneAlone(cut, 'h1'))).kind, 'diverged', 'forced to run, it is a history of its own');
  t.end();
});

t.test('both sides come to the same plan, in mirror image, and no plan leaves out a suspect', async () => {
  const generation = fc.constantFrom('g0', 'g1', 'g2', 'g3');
  const copy = fc
    .record({
      current: generation,
      history: fc.uniqueArray(generation),
      hasBase: fc.boolean(),
      inconsistent: fc.boolean(),
      suspects: fc.uniqueArray(fc.nat(9)),
    })
    .map(({ current, history, hasBase, inconsistent, suspects }) => ({
      record: { pair: 'aa', current, history, base: hasBase ? (history.at(-1) ?? null) : null, inconsistent },
      suspects: new Set(suspects),
    }));
  const mirrored = { source: 'target', target: 'source', mine: 'theirs', theirs: 'mine' } as const;
  fc.assert(
    fc.property(copy, copy, (a, b) => {
      const [p, q] = [planResync(a, b), planResync(b, a)];
      if (p.kind === 'source' || p.kind === 'target') {
        if (q.kind !== mirrored[p.kind]) return false;
        if ((p.kind === 'source' ? a : b).record.inconsistent) return false;
      } else if (p.kind !== q.kind) return false;
      if (p.kind === 'full') return q.kind === 'full' && q.source === (p.source === null ? null : mirrored[p.source]);
      if ('extents' in p) return [...a.suspects, ...b.suspects].every((e) => p.extents.has(e));
      return true;
    }),
    { numRuns: 2_000 },
  );
});

t.test('the history is limited, and the base outlives the limit', (t) => {
  let record = goneAlone(START, 'a1');
  for (let i = 2; i < 100; i++) record = goneAlone(record, `a${i}`);
  t.equal(record.history.length, HISTORY_LIMIT);
  t.equal(planResync(of(record), of(START)).kind, 'source');
  t.end();
});

t.test('the log: what is hot goes at once, what is cold is made durable first', (t) => {
  const log = activityLog([], { most: 2, kept: 1 });
  t.equal(beginWrite(log, 1, 0), true);
  t.equal(beginWrite(log, 1, 0), false);
  endWrite(log, 1);
  endWrite(log, 1);
  t.same([...log.suspects], [1]);
  joining(log);
  t.same(settle(log, moment(log), 0), [], 'nothing is cleared before the copies are equal');
  t.same(settleAll(log, moment(log)), [1]);
  for (const e of [1, 2, 3, 4]) {
    beginWrite(log, e, e === 2 ? 5 : 4);
    if (e !== 3) endWrite(log, e);
  }
  t.ok(isCrowded(log));
  const since = moment(log);
  beginWrite(log, 4, 4);
  endWrite(log, 4);
  t.same(settle(log, since, 4), [1], 'not 2: not committed; not 3: under way; not 4: written since');
  t.same([...log.suspects], [2, 3, 4]);
  apart(log);
  t.same(settle(log, Infinity, Infinity), [], 'alone nothing is cleared');
  t.equal(beginWrite(log, 2, 0), false, 'and it stays hot');
  t.end();
});

t.test('the log: what was written to longest ago is cleared first, whenever it became hot', (t) => {
  const written = (): ReturnType<typeof activityLog> => {
    const log = activityLog([], { most: 2, kept: 1 });
    settleAll(log, 0);
    for (const e of [1, 2, 3, 1]) {
      beginWrite(log, e, 0);
      endWrite(log, e);
    }
    return log;
  };
  t.same(settle(written(), Infinity, 0), [2, 3]);
  t.same(coolable(written(), Infinity, false), [2, 3]);
  t.end();
});

t.test('the log: what must be durable before an extent is cleared', (t) => {
  const log = activityLog([9], { most: 2, kept: 1 });
  settleAll(log, 0);
  for (const e of [1, 2, 3, 4]) {
    beginWrite(log, e, 0);
    if (e !== 2) endWrite(log, e);
  }
  const since = moment(log);
  t.same(coolable(log, since, false), [1, 3, 4], 'not 2: under way');
  t.same(coolable(log, since, true), [1, 3, 4]);
  t.same([...log.suspects], [1, 2, 3, 4], 'nothing is cleared by asking');
  beginWrite(log, 3, 0);
  endWrite(log, 3);
  t.same(clear(log, [1, 3, 4, 7], since), [1, 4], 'not 3: written since; not 7: it was no suspect');
  t.same([...log.suspects], [2, 3]);
  t.end();
});

t.test('two copies live through losses of power, refusals and resyncs, and are equal after each', (t) => {
  let [resyncs, incremental, cleared] = [0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new MirrorWorld(random(seed), null);
    world.live(STEPS);
    if (world.failure !== null) t.fail(`seed ${seed}: ${world.failure}`);
    resyncs += world.resyncs;
    incremental += world.incremental;
    cleared += world.cleared;
  }
  t.ok(
    resyncs > SEEDS && incremental > SEEDS / 2 && cleared > SEEDS,
    `${resyncs} resyncs, ${incremental} of them of a part, ${cleared} cleared`,
  );
  t.end();
});

const MUTANTS: readonly Mutant[] = [
  'write before the log',
  'a stopped primary forgets',
  'clear what the partner has not flushed',
  'clear what is not flushed here',
  'clear what is not committed',
  'clear under a write',
  'release before the generation',
  'no history',
  'together before the target knows',
  'the target forgets before the source has flushed',
  'only the suspects of the source',
];
for (const mutant of MUTANTS) {
  t.test(`caught: ${mutant}`, (t) => {
    for (let seed = 1; seed <= 1000; seed++) {
      const world = new MirrorWorld(random(seed), mutant);
      world.live(STEPS);
      if (world.failure === null) continue;
      t.pass(`seed ${seed}: ${world.failure}`);
      return t.end();
    }
    t.fail('1000 lives went well');
    t.end();
  });
}
