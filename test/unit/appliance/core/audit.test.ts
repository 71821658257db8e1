import t from 'tap';
import { type Event, type State, statusOf, step } from '../../../../appliance/core/machine.ts';
import { pictureOf } from '../../../../appliance/core/picture.ts';
import { duplexState, steps } from './duplex-state.ts';

const probe = (at: number, outcome: 'answered' | 'missing' | 'different' | 'silent', interval: number, kind = 'arp'): Event => ({
  at,
  kind: 'probed',
  probe: kind,
  outcome,
  interval,
  detail: `${outcome} at ${at}`,
});

const proved = (): State => steps(duplexState(), [probe(100, 'answered', 2)]).state;

t.test('protected is said after an answer on a loaded checkpoint, not before', async (t) => {
  const fresh = duplexState();
  t.equal(pictureOf(fresh).redundancy, 'simplex');
  t.match(pictureOf(fresh).redundancySentence, /answered a probe/);
  const first = steps(fresh, [probe(100, 'answered', 1)]).state;
  t.equal(pictureOf(first).redundancy, 'simplex', 'interval 1 runs on the first copy');
  t.equal(statusOf(first).proved, false);
  const then = steps(first, [probe(300, 'answered', 2)]);
  t.equal(pictureOf(then.state).redundancy, 'duplex');
  t.equal(statusOf(then.state).proved, true);
  t.ok(
    then.commands.some((c) => c.kind === 'say'),
    'the partner is told',
  );
});

t.test('one lost answer is forgiven, two in a row are not', async (t) => {
  const one = steps(proved(), [probe(200, 'missing', 3), probe(300, 'answered', 4), probe(400, 'missing', 5)]);
  t.equal(one.state.phase.kind, 'duplex');
  const other = steps(one.state, [probe(450, 'missing', 6, 'echo')]);
  t.equal(other.state.phase.kind, 'duplex', 'another question');
  const two = steps(one.state, [probe(460, 'answered', 6, 'echo'), probe(500, 'missing', 6)]);
  t.equal(two.state.phase.kind, 'claiming');
  t.not(pictureOf(two.state).redundancy, 'duplex', 'withdrawn at once');
  t.ok(
    two.commands.some((c) => c.kind === 'freeze'),
    'output is withheld',
  );
  t.match(
    two.commands.find((c) => c.kind === 'incident'),
    { incident: 'probeMissing', sentence: /missing at 500/ },
  );
  t.equal(statusOf(two.state).asksYield, true, 'the secondary is asked to yield');
});

t.test('a wrong answer counts when it is repeated, a page at once', async (t) => {
  for (const [kind, incident] of [
    ['echo', 'probeDifferent'],
    ['clock', 'clockStuck'],
  ] as const) {
    const once = steps(proved(), [probe(200, 'different', 3, kind), probe(300, 'answered', 3, kind), probe(400, 'different', 4, kind)]);
    t.equal(once.state.phase.kind, 'duplex', 'the guest may have been set up anew between the two answers');
    const twice = step(once.state, probe(500, 'different', 5, kind));
    t.equal(twice.state.phase.kind, 'claiming');
    t.match(
      twice.commands.find((c) => c.kind === 'incident'),
      { incident },
    );
  }
  const page = step(proved(), { at: 200, kind: 'pageDiffered', detail: 'page 12' });
  t.match(
    page.commands.find((c) => c.kind === 'incident'),
    { incident: 'pageDiffers' },
  );
});

t.test('a secondary that does not end a checkpoint is broken too', async (t) => {
  const after = step(proved(), {
    at: 200,
    kind: 'streamLost',
    stream: 'memory',
    cause: 'stalled',
    byPartner: false,
    reason: 'did not stop',
  });
  t.equal(after.state.phase.kind, 'claiming');
  t.match(
    after.commands.find((c) => c.kind === 'incident'),
    { incident: 'streamBroke', sentence: /did not stop/ },
  );
});

t.test('the next protection comes later each time in a row', async (t) => {
  const waits: number[] = [];
  let state = proved();
  for (let i = 0; i < 3; i++) {
    const broken = step(state, { at: 1_000, kind: 'pageDiffered', detail: 'page 1' });
    waits.push(broken.state.retryAt - 1_000);
    state = steps(duplexState({ failures: broken.state.failures }), [probe(100, 'answered', 2)]).state;
  }
  t.same(waits, [1_000, 2_000, 4_000]);
  const stable = step(state, { at: 70_000, kind: 'tick' });
  t.equal(stable.state.failures, 0, 'a minute of proof makes the next one the first');
});

t.test('a guest that answers nobody is judged by its memory, and that is said', async (t) => {
  const asked = Array.from({ length: 6 }, (_, i) => probe(i * 2_000, 'silent', 2));
  const { state, commands } = steps(duplexState(), asked);
  t.equal(state.audit.state, 'unprovable');
  t.equal(pictureOf(state).redundancy, 'duplex');
  t.ok(commands.some((c) => c.kind === 'record' && /answers no probe/.test(c.text)));
  const mute = step(duplexState(), { at: 60_000, kind: 'tick' });
  t.equal(mute.state.audit.state, 'awaited', 'no verdict at all proves nothing');
  t.equal(steps(state, [probe(20_000, 'answered', 9)]).state.audit.state, 'proven', 'it speaks after all');
});

t.test('answers that stop coming withdraw the word', async (t) => {
  const later = step(proved(), { at: 31_000, kind: 'tick' });
  t.equal(later.state.phase.kind, 'duplex');
  t.equal(pictureOf(later.state).redundancy, 'simplex');
});

t.test('a secondary that is asked to yield stops, unless the arbiter may be granting it', async (t) => {
  const primary = step(proved(), { at: 200, kind: 'pageDiffered', detail: 'page 1' }).state;
  const secondary: State = {
    ...duplexState(),
    me: 'B',
    record: { ...primary.record, standing: 'duplexSecondary' },
    phase: { kind: 'secondary', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const asked: Event = { at: 250, kind: 'partnerSaid', status: statusOf(primary), path: 'link' };
  const yielded = step(secondary, asked);
  t.equal(yielded.state.record.standing, 'outdated');
  t.match(
    yielded.commands.map((c) => c.kind),
    ['record', 'freeze', 'persist', 'say', 'stopAll'],
    'durable before it is said',
  );
  const heard = step(primary, { at: 300, kind: 'partnerSaid', status: statusOf(yielded.state), path: 'link' });
  t.equal(heard.state.record.standing, 'simplex', 'the primary needs no witness then');

  const claim = { goal: 'takeOver', row: '5', why: '', askAt: 0, asked: true, unreachableSince: null } as const;
  const claiming: State = { ...secondary, phase: { ...secondary.phase, kind: 'claiming', claim: { ...claim } } };
  t.equal(step(claiming, asked).state.phase.kind, 'claiming', 'both would stop');
  const unheard: State = { ...claiming, phase: { ...claiming.phase, claim: { ...claim, unreachableSince: 10 } } };
  t.equal(step(unheard, asked).state.record.standing, 'outdated');
});

t.test('the end of the secondary and of its stream are incidents', async (t) => {
  const secondary: State = {
    ...duplexState(),
    me: 'B',
    record: { ...duplexState().record, standing: 'duplexSecondary' },
    phase: { kind: 'secondary', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const ends: [Event, string][] = [
    [{ at: 10, kind: 'engineExited', cause: 'guestPanic', reason: 'Kernel panic' }, 'guestPanic'],
    [{ at: 10, kind: 'engineExited', cause: 'guestShutdown', reason: 'exit code 0' }, 'engineEnded'],
    [{ at: 10, kind: 'streamLost', stream: 'memory', cause: 'engine', byPartner: false, reason: 'socket closed' }, 'streamBroke'],
    [{ at: 10, kind: 'pageDiffered', detail: 'page 9' }, 'pageDiffers'],
  ];
  for (const [event, incident] of ends) {
    const after = step(secondary, event);
    t.equal(after.state.record.standing, 'outdated', incident);
    t.match(
      after.commands.find((c) => c.kind === 'incident'),
      { incident },
    );
  }
});

t.test('a page that the synchronisation lost, seen while READY is held: nothing is protected with it', async (t) => {
  const duplex = duplexState();
  const protecting: State = {
    ...duplex,
    phase: { ...duplex.phase, kind: 'protecting', busy: 'protect' },
    record: { ...duplex.record, standing: 'simplex' },
    failures: 2,
  };
  const after = steps(protecting, [
    { at: 200, kind: 'pageDiffered', detail: 'page 12' },
    { at: 201, kind: 'readyHeld' },
  ]);
  t.equal(after.state.phase.kind, 'acting');
  t.equal(after.state.record.standing, 'simplex', 'it was never recorded as shared');
  t.match(
    after.commands.find((c) => c.kind === 'incident'),
    { incident: 'pageDiffers', sentence: /page 12/ },
  );
  t.ok(
    after.commands.some((c) => c.kind === 'abandonPartner'),
    'the workload runs on alone',
  );
  t.equal(after.state.failures, 3, 'tried again later each time');
});

t.test('a pair that is never asked recovers from its failures too', async (t) => {
  const duplex = duplexState();
  const passive: State = { ...duplex, canCompare: false, audit: { ...duplex.audit, state: 'unprovable', since: 0 }, failures: 3 };
  t.equal(steps(passive, [{ at: 30_000, kind: 'tick' }]).state.failures, 3);
  t.equal(steps(passive, [{ at: 70_000, kind: 'tick' }]).state.failures, 0);
});

t.test("the primary's engine ends: the secondary, which is well, goes on", async (t) => {
  const left: Event = { at: 100, kind: 'streamLost', stream: 'memory', cause: 'engine', byPartner: false, reason: 'closed' };
  const ended: Event = { at: 110, kind: 'engineExited', cause: 'crash', reason: 'killed' };
  const promotable = (): State => ({ ...proved(), partnerPromotable: true });
  for (const order of [
    [left, ended],
    [ended, left],
  ]) {
    const { state, commands } = steps(promotable(), order);
    t.equal(state.record.standing, 'outdated', 'yields');
    t.notOk(
      commands.some((c) => c.kind === 'claim'),
      'and never claims',
    );
  }
  const alive = steps(promotable(), [left, { at: 600, kind: 'tick' }]);
  t.ok(
    alive.commands.some((c) => c.kind === 'claim'),
    'an engine that only left the stream: nobody else asks',
  );

  const secondary: State = {
    ...duplexState(),
    me: 'B',
    record: { ...duplexState().record, standing: 'duplexSecondary' },
    phase: { kind: 'secondary', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const told = step(secondary, { ...left, byPartner: true });
  t.equal(told.state.phase.kind, 'claiming');
  t.notOk(
    told.commands.some((c) => c.kind === 'incident'),
    'nothing is wrong here',
  );
  const stopped = step(secondary, { ...left, cause: 'stopped', byPartner: true });
  t.equal(stopped.state.record.standing, 'outdated', 'ended on purpose: it follows');
  t.notOk(stopped.commands.some((c) => c.kind === 'incident'));
});
