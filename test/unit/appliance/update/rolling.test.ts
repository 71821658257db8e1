// The rule against a pair in which everything happens in any order, and what it says in each case.
import fc from 'fast-check';
import t from 'tap';
import { RETURN_MS, type RollingOrder, type RollingPicture, type RollingSide, rollingOrder } from '../../../../appliance/update/rolling.ts';
import { NEW, OLD, type PairOptions, RollingPair } from './rolling-pair.ts';

t.setTimeout(300_000);

const WILD_STEPS = 150;
const MAX_STEPS = 6_000;

interface Run extends Omit<PairOptions, 'rule'> {
  /** Losses of power that strike, at most. */
  faults?: number;
  /** One of them is for ever. */
  dies?: boolean;
}

/** Plays one story to its end. */
function play(choices: Iterator<number>, { faults = 0, dies = false, ...options }: Run, rule = rollingOrder): RollingPair {
  const pair = new RollingPair({ ...options, rule });
  const next = (below: number) => (choices.next().value as number) % below;
  for (let step = 0; step < MAX_STEPS; step++) {
    const i = next(2) === 0 ? 0 : 1;
    const what = next(12);
    if (what === 0 && step < WILD_STEPS && pair.faults < faults) pair.loosePower(i, dies && pair.faults === 0);
    else if (what < 5) pair.obey(i);
    else pair.happen(i, next(4));
    pair.check();
    if (step > WILD_STEPS && pair.isOver) return pair;
  }
  return pair.fail('no end');
}

function prove(run: Run, then: (pair: RollingPair) => void, rule = rollingOrder, numRuns = 300): void {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(11)), (choices) => {
      then(play(choices, run, rule));
    }),
    { numRuns },
  );
}

const versions = (pair: RollingPair) => pair.servers.map((s) => s.version).join();

t.test('undisturbed, both run the new version in the end; the guest was never restarted and never alone', async () => {
  prove({}, (pair) => {
    if (versions(pair) !== `${NEW},${NEW}` || !pair.isDuplex || pair.guestRestarts > 0) pair.fail('not done');
  });
});

t.test('whatever loses its power, it ends: both new, or stopped and said', async (t) => {
  const ends = new Set<string>();
  prove({ faults: 6 }, (pair) => ends.add(`${versions(pair)} ${pair.servers[0].wish?.end?.kind}`));
  t.ok(ends.has(`${NEW},${NEW} done`), [...ends].join('; '));
  prove({ faults: 3, dies: true }, (pair) => {
    if (pair.servers.some((s) => !s.isDead && s.wish && !s.wish.end)) pair.fail('nobody said that it does not go on');
  });
});

t.test('a version that is bad on one server stops there; the guest stays on one that works', async () => {
  for (const bad of [[0], [1], [0, 1]])
    prove({ bad }, (pair) => {
      // The secondary (1) goes first: bad there, the other one never left the old version.
      if (versions(pair) !== (bad.includes(1) ? `${OLD},${OLD}` : `${OLD},${NEW}`)) pair.fail('other versions');
      if (pair.servers.some((s) => s.wish?.end?.kind !== 'stopped')) pair.fail('not told on both');
    });
  prove({ bad: [0, 1], faults: 6 }, (pair) => {
    if (pair.servers.some((s) => s.wish?.end?.kind === 'done')) pair.fail('a bad version is done');
  });
});

t.test('another engine: level 2 while they differ, one restart of the guest, and level 3 again', async () => {
  prove({ newEngine: true }, (pair) => {
    if (versions(pair) !== `${NEW},${NEW}` || pair.guestRestarts !== 1 || pair.servers.some((s) => s.level !== 3)) pair.fail('otherwise');
  });
  prove({ newEngine: true, faults: 6 }, () => {});
  prove({ newMicrocode: true }, (pair) => {
    if (versions(pair) !== `${NEW},${NEW}` || pair.guestRestarts !== 1 || pair.servers.some((s) => s.level !== 3)) pair.fail('otherwise');
  });
  prove({ newMicrocode: true, faults: 6 }, () => {});
  prove({ level: 2 }, (pair) => {
    if (versions(pair) !== `${NEW},${NEW}` || pair.guestRestarts !== 1) pair.fail('otherwise');
  });
});

t.test('without the word for it the guest is not restarted: the pair asks and waits', async (t) => {
  for (const options of [{ newEngine: true }, { level: 2 as const }]) {
    const pair = new RollingPair({ ...options, mayRestartGuest: false, rule: rollingOrder });
    for (let step = 0; step < 400; step++) {
      for (const i of [0, 1] as const) {
        pair.obey(i);
        pair.happen(i, step % 4);
      }
      pair.check();
    }
    t.equal(pair.guestRestarts, 0);
    t.match(pair.order(0), { kind: 'wait', asks: true });
    t.equal(pair.servers[0].version, OLD);
    t.equal(pair.servers[1].version, options.newEngine ? OLD : NEW, 'asked before it begins, or before the move that restarts it');
  }
});

/** Each is a mistake that somebody could make, and what finds it. */
const MUTANTS: Record<string, { run: Run; rule: (p: RollingPicture) => RollingOrder }> = {
  'starts again while the pair is not duplex': {
    run: { faults: 4 },
    rule: (p) => rollingOrder({ ...p, isDuplex: true }),
  },
  'the primary starts itself again': {
    run: {},
    rule: (p) => rollingOrder({ ...p, me: { ...p.me, role: 'secondary' } }),
  },
  'moves to a version on trial': {
    run: {},
    rule: (p) => rollingOrder(p.partner ? { ...p, partner: { ...p.partner, onTrial: false } } : p),
  },
  'does not look at what was given up': {
    run: { bad: [1] },
    rule: (p) => rollingOrder({ ...p, me: { ...p.me, givenUp: null }, partner: p.partner && { ...p.partner, givenUp: null } }),
  },
  'waits for ever for a partner that is dead': {
    run: { faults: 3, dies: true },
    rule: (p) => rollingOrder({ ...p, partnerSilentMs: 0 }),
  },
  'both processes change their level at once': {
    run: { newMicrocode: true },
    rule: (p) =>
      rollingOrder({
        ...p,
        me: { ...p.me, role: p.me.level === 3 && p.partner?.level === 3 && p.whyNotLockstep !== null ? 'none' : p.me.role },
      }),
  },
  'starts the new engine at level 3': {
    run: { newEngine: true },
    rule: (p) => {
      const order = rollingOrder(p);
      return order.kind === 'restartSelf' ? { ...order, level: 3 } : order;
    },
  },
  'restarts the guest without the word': {
    run: { level: 2, mayRestartGuest: false },
    rule: (p) => rollingOrder({ ...p, mayRestartGuest: true }),
  },
  'is done before both run it': {
    run: {},
    rule: (p) => (p.me.version === p.target && !p.me.onTrial ? { kind: 'done', text: '' } : rollingOrder(p)),
  },
};

t.test('mistakes in the rule are found', async (t) => {
  for (const [name, { run, rule }] of Object.entries(MUTANTS))
    t.throws(
      () =>
        prove(
          run,
          (pair) => {
            if (pair.servers.some((s) => s.isDead)) return;
            if ((run.bad ?? []).length === 0 && pair.faults === 0 && versions(pair) !== `${NEW},${NEW}`) pair.fail('not done');
          },
          rule,
          200,
        ),
      name,
    );
});

const side = (change: Partial<RollingSide> = {}): RollingSide => ({
  version: OLD,
  onTrial: false,
  received: NEW,
  givenUp: null,
  role: 'secondary',
  engine: '11.1.3',
  level: 3,
  ...change,
});
const seen = (change: Partial<RollingPicture> = {}) =>
  rollingOrder({
    coServer: 'B',
    target: NEW,
    engine: '11.1.3',
    level: 3,
    whyNotLockstep: null,
    hasWatchdog: true,
    me: side(),
    partner: side({ role: 'primary' }),
    partnerKnows: true,
    partnerSilentMs: 0,
    isDuplex: true,
    mayMove: true,
    mayRestartGuest: false,
    ...change,
  });

t.test('each order, with the reason that the console shows', async (t) => {
  t.match(seen(), { kind: 'restartSelf', level: 3, text: /starts again with 1\.1\.0; the workload goes on on the other one/ });
  const engine = { engine: '12.0.0', mayRestartGuest: true };
  t.match(seen(engine), { kind: 'restartSelf', level: 2 }, 'an engine that is another one than the partner has');
  const follows = { ...engine, me: side({ level: 2 }), partner: side({ role: 'primary', version: NEW, engine: '12.0.0', level: 2 }) };
  t.match(seen(follows), { kind: 'restartSelf', level: 3 }, 'the same one as the partner has by now');
  t.match(seen({ isDuplex: false }), { kind: 'wait', text: /either server may fail/ });
  t.match(seen({ partnerKnows: false }), { kind: 'wait', text: /is being told/ });
  t.match(seen({ me: side({ received: null }) }), { kind: 'wait', text: /on its way to this CoServer/ });
  t.match(seen({ partner: side({ role: 'primary', received: null }) }), { kind: 'wait', text: /on its way to the other CoServer/ });
  t.match(seen({ me: side({ received: null }), partner: side({ received: null }) }), { kind: 'stop', text: /Neither CoServer has/ });
  t.match(seen({ me: side({ onTrial: true }) }), { kind: 'wait', text: /being watched/ });
  t.match(seen({ me: side({ role: 'none' }) }), { kind: 'wait', text: /workload runs on both/ });
  const primary = { me: side({ role: 'primary' }), partner: side({ version: NEW, received: null }) };
  t.match(seen(primary), { kind: 'moveWorkload' });
  t.match(seen({ ...primary, partner: side({ version: NEW, onTrial: true }) }), { kind: 'wait', text: /being watched/ });
  t.match(seen({ ...primary, mayMove: false }), { kind: 'wait', text: /as soon as that is possible/ });
  const level2 = { level: 2 as const, me: side({ role: 'primary', level: 2 }), partner: side({ version: NEW, received: null, level: 2 }) };
  t.match(seen(level2), { kind: 'wait', asks: true, text: /guest is restarted when it moves/ });
  t.match(seen({ ...level2, mayRestartGuest: true }), { kind: 'moveWorkload' });
  t.match(seen({ engine: '12.0.0' }), { kind: 'wait', asks: true, text: /brings engine 12\.0\.0, here runs 11\.1\.3/ });
  const microcode = { ...primary, whyNotLockstep: 'microcode: 1 on A, 2 on B' };
  t.match(seen(microcode), { kind: 'wait', asks: true, text: /may not run in lockstep \(microcode/ });
  t.match(seen({ ...microcode, hasWatchdog: false }), { kind: 'stop', text: /needs a watchdog/ });
  t.match(seen({ ...microcode, mayRestartGuest: true }), { kind: 'wait', text: /other CoServer's process starts again first/ });
  t.match(seen({ partner: null, partnerSilentMs: RETURN_MS - 1 }), { kind: 'wait' });
  t.match(seen({ partner: null, partnerSilentMs: RETURN_MS }), { kind: 'stop', text: /not come back for 60 minutes/ });
  t.match(seen({ partner: side({ givenUp: NEW, role: 'primary' }) }), {
    kind: 'stop',
    text: /healthy on CoServer A, which is back on 1\.0\.0\. The update is over/,
  });
  t.match(seen({ me: side({ givenUp: NEW }), partner: side({ version: NEW, role: 'primary' }) }), {
    kind: 'stop',
    text: /healthy on CoServer B, which.*two versions now.*rollback/,
  });
  // It ends the update on both, and is read on both.
  const ends = [
    { partner: null, partnerSilentMs: RETURN_MS },
    { ...microcode, hasWatchdog: false },
    { me: side({ givenUp: NEW }) },
    { partner: side({ version: '2.0.0' }) },
  ];
  for (const change of ends) t.notMatch(seen(change).text, /this CoServer|the other|here/i);
  t.match(seen({ me: side({ version: NEW }), partner: side({ version: '2.0.0' }) }), { kind: 'stop', text: /newer than/ });
  t.match(seen({ me: side({ version: NEW }), partner: side({ version: NEW, role: 'primary' }) }), { kind: 'done' });
});
