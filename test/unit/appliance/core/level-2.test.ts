// Level 2, and a process that restarts under its guest: what is decided where no story goes.
import t from 'tap';
import {
  DEFAULT_TIMING,
  type DurableRecord,
  dueAt,
  type Event,
  FRESH_RECORD,
  initialState,
  type PartnerStatus,
  type State,
  statusOf,
  step,
} from '../../../../appliance/core/machine.ts';
import { pictureOf } from '../../../../appliance/core/picture.ts';
import { ACTIONS, actionLabel, mayRequest } from '../../../../appliance/core/requests.ts';
import { steps } from './duplex-state.ts';

const LEASE_MS = 3_500;

/** A side of level 2 that hears its partner. */
function side(change: Partial<State>, record: Partial<DurableRecord>, adoptable = false): State {
  const state = initialState({
    me: 'A',
    incarnation: 'a1',
    pairId: 'p',
    version: '1',
    record: { ...FRESH_RECORD, generation: 1, ...record },
    links: 2,
    now: 0,
    adoptable,
    canCompare: true,
    level: 2,
    timing: { ...DEFAULT_TIMING, leaseMs: LEASE_MS },
  });
  const links = state.links.map((l) => ({ ...l, up: true }));
  return { ...state, links, partnerHeard: true, witness: { ...state.witness, ok: true }, ...change };
}

const phase = (kind: State['phase']['kind']): State['phase'] => ({ kind, since: 0, busy: null, claim: null, next: null, note: '' });

/** What B says. */
function partner(kind: PartnerStatus['phase'], record: Partial<DurableRecord>, change: Partial<PartnerStatus> = {}): PartnerStatus {
  const b = side({}, {});
  return {
    ...statusOf(b),
    coServer: 'B',
    incarnation: 'b1',
    phase: kind,
    record: { ...FRESH_RECORD, generation: 1, ...record },
    revision: 100,
    ...change,
  };
}

const says = (status: PartnerStatus, at = 10) => ({ at, kind: 'partnerSaid', path: 'link', status }) as const;
const names = (commands: readonly { kind: string }[]): string[] => commands.map((c) => c.kind);

const primary = (change: Partial<State> = {}): State => {
  const b = partner('secondary', { standing: 'duplexSecondary' });
  return side({ phase: phase('duplex'), partner: b, newest: b, partnerPromotable: true, ...change }, { standing: 'duplexPrimary' });
};
const secondary = (leaseMs = LEASE_MS): State => {
  const b = partner('duplex', { standing: 'duplexPrimary' }, { leaseMs, proved: true });
  return side({ phase: phase('secondary'), partner: b, newest: b }, { standing: 'duplexSecondary' });
};
const lost = (at: number, silentMs = 300) => [0, 1].map((link) => ({ at, kind: 'linkObserved', link, up: false, silentMs }) as const);

t.test('two that are configured for different levels do not join, say so once, and join when they fit', async (t) => {
  const alone = side({ phase: phase('running') }, { standing: 'simplex' });
  const other = partner('standby', { standing: 'outdated', generation: 0 }, { level: 3 });
  const first = step(alone, says(other));
  t.equal(first.state.phase.kind, 'running');
  t.match(
    first.commands.find((c) => c.kind === 'record'),
    { text: /configured for protection level 3, this CoServer for 2.*[Ss]et workload\.level to the same in both/ },
  );
  t.same(names(step(first.state, { at: 50, kind: 'tick' }).commands), [], 'once');
  t.equal(step(first.state, says({ ...other, level: 2, revision: 101 })).state.phase.kind, 'resyncing');
  // Nor does the one that is to be made equal, whatever the other one thinks.
  const waiting = side({ phase: phase('standby') }, { standing: 'outdated' });
  const resyncing = partner('resyncing', { standing: 'simplex' }, { level: 3 });
  t.equal(step(waiting, says(resyncing)).state.phase.busy, null);
  t.equal(step(waiting, says({ ...resyncing, level: 2 })).state.phase.busy, 'openTarget');
});

t.test('no partner joins while the watchdog here cannot be armed: the lease stands on it', async (t) => {
  const armed = (ok: boolean, at: number) =>
    ({ at, kind: 'commandFinished', command: 'armWatchdog', ok, reason: 'no such device' }) as const;
  const standby = partner('standby', { standing: 'outdated', generation: 0 });
  const without = steps(side({ phase: phase('running') }, { standing: 'simplex' }), [armed(false, 1), says(standby)]).state;
  t.equal(without.phase.kind, 'running');
  t.equal(steps(without, [armed(true, 20), { at: 50, kind: 'tick' }]).state.phase.kind, 'resyncing');
});

t.test('the secondary asks when the longer lease of the two is over, and not at all after a yield', async (t) => {
  for (const [theirs, waitMs] of [
    [0, LEASE_MS],
    [20_000, 20_000],
  ] as const) {
    const { state, commands } = steps(secondary(theirs), lost(1_000));
    t.equal(state.phase.kind, 'claiming');
    t.equal(dueAt(state), 1_000 + waitMs);
    t.notOk(names(commands).includes('claim'));
    t.match(pictureOf(state).redundancySentence, /the guest is started here in \d+ s/);
  }
  const yielded = step(secondary(), says(partner('acting', { standing: 'outdated' }, { revision: 101 })));
  t.match(
    yielded.commands.find((c) => c.kind === 'startGuest'),
    { generation: 2, row: '4' },
    'it starts the guest at once',
  );
  t.equal(yielded.state.phase.kind, 'starting');
});

t.test('noticed by the carrier alone: the primary renews until its heartbeat has noticed it too', async (t) => {
  t.equal(dueAt(steps(secondary(), lost(1_000, 50)).state), 1_250 + LEASE_MS);
  const [first, last] = [lost(1_000, 300), lost(1_400, 40)];
  const late = steps(secondary(), [...first.slice(0, 1), ...last.slice(1)]).state;
  t.equal(dueAt(late), 1_660 + LEASE_MS, 'the link that was heard last counts');
  const broken: Event = { at: 1_000, kind: 'streamLost', stream: 'disk', cause: 'channel', byPartner: false, reason: 'reset' };
  t.equal(dueAt(step(secondary(), broken).state), 1_300 + LEASE_MS, 'heard all the time');
});

t.test('a primary asks at once: it is the one that runs', async (t) => {
  const { state, commands } = steps(primary(), lost(1_000));
  t.equal(state.phase.kind, 'claiming');
  t.ok(names(commands).indexOf('freeze') < names(commands).indexOf('claim'));
});

t.test('the secondary is recorded only after its mirror has confirmed the copy', async (t) => {
  const target = side({ phase: phase('target') }, { standing: 'inconsistent' });
  const asked = step(target, says(partner('committing', { standing: 'duplexPrimary' })));
  t.same([asked.state.phase.busy, asked.state.record.standing, names(asked.commands)], ['confirmCopy', 'inconsistent', ['confirmCopy']]);
  const finished = { at: 20, kind: 'commandFinished', command: 'confirmCopy' } as const;
  const no = step(asked.state, { ...finished, ok: false, reason: 'not equal' });
  t.same([no.state.phase.next, no.state.record.standing], ['standby', 'inconsistent']);
  const yes = step(asked.state, { ...finished, ok: true, reason: '' });
  t.same([yes.state.phase.kind, yes.state.record.standing], ['secondary', 'duplexSecondary']);
  // The primary went on alone while it was confirmed.
  const late = step(asked.state, says(partner('claiming', { standing: 'duplexPrimary' }, { revision: 101 }), 15)).state;
  t.equal(step(late, { ...finished, ok: true, reason: '' }).state.record.standing, 'inconsistent');
});

t.test('a primary whose process restarted asks for its guest at once, and yields it to no secondary', async (t) => {
  const back = side({ partnerHeard: false }, { standing: 'duplexPrimary' }, true);
  const asked = step(back, { at: 5, kind: 'tick' });
  t.match(asked.state.phase, { kind: 'claiming', claim: { by: 'witness', goal: 'start' } });
  t.ok(names(asked.commands).includes('claim'));
  const frozen = partner('claiming', { standing: 'duplexSecondary' }, { asksYield: true });
  t.equal(step(asked.state, says(frozen)).state.record.standing, 'duplexPrimary', 'asked to yield, it keeps its guest');
  const granted = step(asked.state, { at: 9, kind: 'arbiterAnswered', generation: 1, answer: 'granted', reason: '' });
  t.ok(names(granted.commands).includes('adoptGuest'));
  const refused = step(asked.state, { at: 9, kind: 'arbiterAnswered', generation: 1, answer: 'refused', reason: 'B went on' });
  t.same([refused.state.adoptable, refused.state.record.standing], [false, 'outdated'], 'its engine is ended, and taken up by nobody');
  // Without a witness nobody grants himself anything after a restart: the secondary is asked, and yields.
  const named = step(side({}, { standing: 'duplexPrimary', arbiter: 'namedA' }, true), { at: 5, kind: 'tick' }).state;
  t.same([named.phase.kind, statusOf(named).asksYield], ['claiming', true]);
  const asks = partner('claiming', { standing: 'duplexPrimary', arbiter: 'namedB' }, { asksYield: true });
  for (const goal of ['takeOver', 'start'] as const) {
    const claim = { goal, row: '5', why: '', by: 'none', askAt: 0, asked: true, unreachableSince: 1 } as const;
    const waits = side({ phase: { ...phase('claiming'), claim } }, { standing: 'duplexSecondary', arbiter: 'namedB' });
    t.equal(step(waits, says(asks)).state.record.standing, 'outdated', `a secondary that waits to ${goal} yields`);
  }
});

t.test("a replica's engine is nobody's after a restart, and a guest only of the record that ran it", async (t) => {
  const kept = (['simplex', 'duplexPrimary', 'duplexSecondary', 'outdated', 'inconsistent'] as const).filter(
    (standing) => side({}, { standing }, true).adoptable,
  );
  t.same(kept, ['simplex', 'duplexPrimary']);
});

t.test(
  'a move shuts the guest down first; a guest that goes off by itself stays off; a move that loses the partner ends here',
  async (t) => {
    const off = { at: 50, kind: 'engineExited', cause: 'guestShutdown', reason: 'off' } as const;
    const moving = step(primary(), { at: 20, kind: 'operatorRequested', action: 'move-workload' });
    t.same([moving.state.phase.kind, moving.state.moving], ['duplex', 'move']);
    t.ok(names(moving.commands).includes('shutDownGuest'));
    t.match(mayRequest(moving.state, 'shutdown-guest'), { allowed: false });
    const moved = step(moving.state, off);
    t.same([moved.state.record.standing, moved.state.record.workloadOff], ['outdated', false]);
    const failed = step(moving.state, {
      at: 40,
      kind: 'commandFinished',
      command: 'shutDownGuest',
      ok: false,
      reason: 'it does not answer',
    });
    t.same([failed.state.phase.kind, failed.state.moving, failed.state.phase.busy], ['duplex', null, null]);
    const out = step(step(primary(), { at: 20, kind: 'operatorRequested', action: 'enter-maintenance' }).state, off);
    t.same([out.state.record.standing, out.state.record.maintenance], ['outdated', true]);
    const itself = step(primary(), off);
    t.same([itself.state.phase.kind, itself.state.phase.next, itself.state.record.workloadOff], ['steppingDown', 'off', true]);
    const alone = steps(moving.state, [
      ...lost(30),
      { at: 31, kind: 'arbiterAnswered', generation: 1, answer: 'granted', reason: '' },
      { at: 32, kind: 'commandFinished', command: 'continueAlone', ok: true, reason: '' },
      off,
    ]);
    t.same([alone.state.phase.next, alone.state.record.workloadOff], ['starting', false], 'it is started again here');
  },
);

t.test('asked to end: nothing is shared any more before the process ends, and nothing is joined meanwhile', async (t) => {
  const ends = (state: State) => names(step(state, { at: 20, kind: 'stopRequested' }).commands).includes('endProcess');
  const alone = side({ phase: phase('running') }, { standing: 'simplex' });
  t.ok(ends(alone));
  t.notOk(ends(primary()));
  t.notOk(ends(secondary()));
  const asked = step(primary(), { at: 20, kind: 'stopRequested' }).state;
  t.equal(statusOf(asked).restarting, true);
  const yielded = steps(asked, [
    says(partner('acting', { standing: 'outdated' }, { revision: 101, yieldRow: '28' }), 30),
    { at: 40, kind: 'commandFinished', command: 'continueAlone', ok: true, reason: '' },
  ]);
  t.same(yielded.state.record, { ...asked.record, generation: 2, standing: 'simplex' });
  t.equal(names(yielded.commands).filter((c) => c === 'endProcess').length, 1);
  const standby = partner('standby', { standing: 'outdated', generation: 1 }, { revision: 102 });
  t.equal(step(yielded.state, says(standby, 50)).state.phase.kind, 'running', 'it does not begin to make it equal');
  const restarting = partner('duplex', { standing: 'duplexPrimary' }, { restarting: true, revision: 101 });
  t.equal(step(secondary(), says(restarting)).state.record.standing, 'outdated', 'its partner yields');
});

t.test('the level is shown as it is now, not as it is configured', async (t) => {
  const level = (s: State) => pictureOf(s).level;
  t.equal(level(primary()), 'highlyAvailable');
  t.equal(level(secondary()), 'highlyAvailable');
  t.equal(level(side({ phase: phase('running') }, { standing: 'simplex' })), 'restart');
  t.equal(level(side({ phase: phase('off') }, { standing: 'simplex', workloadOff: true })), 'unprotected');
  t.match(pictureOf(primary()).redundancySentence, /If A fails now, it restarts on B and clients connect again/);
  const move = ACTIONS.find((a) => a.name === 'move-workload');
  t.match(move && actionLabel(primary(), move), /the guest restarts there/);
});
