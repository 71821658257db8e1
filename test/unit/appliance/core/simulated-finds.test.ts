// What the simulator found in the core, each as the few events that matter.
import t from 'tap';
import {
  type DurableRecord,
  type Event,
  FRESH_RECORD,
  initialState,
  type PartnerStatus,
  type State,
  statusOf,
  step,
} from '../../../../appliance/core/machine.ts';
import { duplexState, steps } from './duplex-state.ts';

const DUPLEX: DurableRecord = { ...FRESH_RECORD, generation: 1, standing: 'duplexPrimary' };

/** Just started on this record. */
function started(record: DurableRecord, fence = true): State {
  return initialState({
    me: 'A',
    incarnation: 'a1',
    pairId: 'p',
    version: '1',
    record,
    links: 2,
    now: 0,
    adoptable: false,
    canCompare: true,
    arbiters: { witness: false, fence },
  });
}

function partner(record: DurableRecord, change: Partial<PartnerStatus> = {}): PartnerStatus {
  return { ...statusOf(started(record)), coServer: 'B', incarnation: 'b1', ...change };
}

const says = (at: number, status: PartnerStatus): Event => ({ at, kind: 'partnerSaid', status, path: 'link' });

t.test('the end of a fencing reaches the claim that ordered it', async (t) => {
  const held = { ...DUPLEX, arbiter: 'fence' as const };
  const lost = steps(duplexState({ record: held, links: [{ up: true, since: 0 }] }), [
    { at: 100, kind: 'linkObserved', link: 0, up: false, silentMs: 300 },
  ]);
  t.ok(lost.commands.some((c) => c.kind === 'fence'));
  const ended = { kind: 'commandFinished', command: 'fence', reason: '' } as const;
  const verified = step(lost.state, { at: 5_000, ...ended, ok: true });
  t.equal(verified.state.record.standing, 'simplex');
  const failed = step(lost.state, { at: 5_000, ...ended, ok: false });
  t.equal(failed.state.record.standing, 'duplexPrimary');
  t.ok(failed.commands.some((c) => c.kind === 'record' && c.row === '7'));
});

t.test('the disk of the only owner fails while it asks to start again: its copy is not given up', async (t) => {
  const claim = { goal: 'start', by: 'witness', row: '26', why: '', askAt: 9_000, asked: false, unreachableSince: 1 } as const;
  const asking: State = {
    ...started({ ...DUPLEX, standing: 'simplex' }),
    phase: { kind: 'claiming', since: 0, busy: null, claim, next: null, note: '' },
  };
  const failed = { kind: 'diskFailed', reason: 'no space' } as const;
  const { state } = step(asking, { at: 10, ...failed });
  t.match(state, { record: { standing: 'simplex' }, phase: { kind: 'frozen' } });
  const secondary: State = { ...asking, record: { ...DUPLEX, standing: 'duplexSecondary' } };
  t.equal(step(secondary, { at: 10, ...failed }).state.record.standing, 'outdated', 'where the partner has one, it is');
});

t.test('level 2: what ends here once the partner has yielded to a guest that is off has a recorded reason', async (t) => {
  const off: State = {
    ...started({ ...DUPLEX, workloadOff: true }),
    level: 2,
    phase: { kind: 'steppingDown', since: 0, busy: null, claim: null, next: 'off', note: '' },
  };
  const { commands } = step(off, says(10, partner({ ...DUPLEX, standing: 'outdated' }, { phase: 'standby' })));
  t.ok(commands.some((c) => c.kind === 'stopAll'));
  t.ok(commands.some((c) => c.kind === 'record'));
});

t.test('what ends a replica that is being prepared has a recorded reason', async (t) => {
  const following: State = {
    ...started({ ...DUPLEX, standing: 'inconsistent' }),
    phase: { kind: 'target', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const { commands } = step(following, says(10, partner({ ...DUPLEX, standing: 'simplex' }, { phase: 'running' })));
  t.ok(commands.some((c) => c.kind === 'stopAll'));
  t.ok(commands.some((c) => c.kind === 'record'));
});

t.test('a secondary whose stream the partner ended says why it stops', async (t) => {
  const secondary: State = {
    ...started({ ...DUPLEX, standing: 'duplexSecondary' }),
    phase: { kind: 'secondary', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const lost: Event = { at: 10, kind: 'streamLost', stream: 'memory', cause: 'stopped', byPartner: true, reason: 'ended' };
  const { commands } = step(secondary, lost);
  t.ok(commands.some((c) => c.kind === 'stopAll'));
  t.ok(commands.some((c) => c.kind === 'record' && c.text.includes('yields')));
});

t.test('back from maintenance, a recorded simplex owner does not wait to be made equal', async (t) => {
  const out = step(started({ ...DUPLEX, standing: 'simplex', maintenance: true }), { at: 10, kind: 'tick' }).state;
  t.equal(out.phase.kind, 'standby');
  const { state } = step(out, { at: 20, kind: 'operatorRequested', action: 'end-maintenance' });
  t.equal(state.phase.kind, 'isolated');
});

t.test('both yielded: the primary leads without an arbiter, which may have granted what was given up', async (t) => {
  const yielded = { ...DUPLEX, standing: 'outdated' as const };
  const waits = step(started({ ...yielded, wasPrimary: true }), { at: 10, kind: 'tick' }).state;
  const { state, commands } = steps(waits, [says(20, partner(yielded, { phase: 'standby' }))]);
  t.notOk(commands.some((c) => c.kind === 'claim'));
  t.match(step(state, { at: 30, kind: 'tick' }).state.record, { generation: 2, standing: 'simplex' });
});

t.test('restarted, no arbiter helps, and the partner is back with a copy that cannot have gone on', async (t) => {
  const waits = steps(started({ ...DUPLEX, arbiter: 'fence' }), [{ at: 5_000, kind: 'tick' }]).state;
  t.equal(waits.phase.kind, 'claiming');
  const { state } = steps(waits, [says(6_000, partner({ ...DUPLEX, standing: 'inconsistent' }, { phase: 'standby' }))]);
  t.match(state.record, { generation: 2, standing: 'simplex' });
  const joining = partner({ ...DUPLEX, standing: 'inconsistent' }, { phase: 'incoming' });
  t.match(step(waits, says(6_000, joining)).state.record, { standing: 'duplexPrimary' }, 'it may be equal by now');
  t.match(steps(waits, [says(6_000, partner({ ...DUPLEX, standing: 'duplexSecondary' }, { phase: 'isolated' }))]).state.record, {
    standing: 'duplexPrimary',
  });
});

t.test('a primary whose secondary lost it holds, though it lost nothing itself', async (t) => {
  const { state, commands } = step(duplexState(), says(100, partner({ ...DUPLEX, standing: 'duplexSecondary' }, { phase: 'claiming' })));
  t.ok(commands.some((c) => c.kind === 'freeze'));
  t.equal(state.phase.kind, 'claiming');
  const stepsDown = step(duplexState(), { at: 50, kind: 'operatorRequested', action: 'shutdown-guest' }).state;
  t.equal(stepsDown.phase.kind, 'steppingDown');
  t.equal(
    step(stepsDown, says(100, partner({ ...DUPLEX, standing: 'duplexSecondary' }, { phase: 'claiming' }))).state.phase.kind,
    'claiming',
  );
});

t.test('level 2: an engine that ends while it is undecided does not shorten the lease, nor does a restart', async (t) => {
  const secondary: State = {
    ...started({ ...DUPLEX, standing: 'duplexSecondary' }),
    level: 2,
    phase: { kind: 'secondary', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  // It was heard last when this process began.
  const leaseEnds = secondary.timing.heartbeatTimeoutMs + secondary.timing.leaseMs;
  const lost: Event = { at: 100, kind: 'streamLost', stream: 'memory', cause: 'channel', byPartner: false, reason: 'gone' };
  const ended: Event = { at: 400, kind: 'engineExited', cause: 'crash', reason: 'gone' };
  const { state, commands } = steps(secondary, [lost, ended, { at: leaseEnds - 1, kind: 'tick' }]);
  t.notOk(commands.some((c) => c.kind === 'claim'));
  t.ok(step(state, { at: leaseEnds, kind: 'tick' }).commands.some((c) => c.kind === 'claim'));

  const again: State = { ...started({ ...DUPLEX, standing: 'duplexSecondary' }), level: 2 };
  t.notOk(
    steps(again, [
      { at: 5_000, kind: 'tick' },
      { at: leaseEnds - 1, kind: 'tick' },
    ]).commands.some((c) => c.kind === 'claim'),
  );
  t.ok(
    steps(again, [
      { at: 5_000, kind: 'tick' },
      { at: leaseEnds, kind: 'tick' },
    ]).commands.some((c) => c.kind === 'claim'),
  );
});

t.test('a held primary goes on when its partner is back with a copy that never became equal', async (t) => {
  const held = step(duplexState(), {
    at: 100,
    kind: 'streamLost',
    stream: 'memory',
    cause: 'channel',
    byPartner: false,
    reason: 'gone',
  }).state;
  t.equal(held.phase.kind, 'claiming');
  const back = partner({ ...DUPLEX, standing: 'inconsistent' }, { phase: 'standby' });
  t.match(step(held, says(200, back)).state.record, { generation: 2, standing: 'simplex' });
});

t.test("a late word of the partner's earlier life is not believed, and costs nobody the present one", async (t) => {
  const datagram = (at: number, status: PartnerStatus): Event => ({ at, kind: 'partnerSaid', status, path: 'management' });
  const early = partner({ ...DUPLEX, standing: 'outdated' }, { phase: 'standby', incarnation: 'b0' });
  const now = partner({ ...DUPLEX, standing: 'duplexSecondary' }, { phase: 'secondary', incarnation: 'b1' });
  const known = step(duplexState(), says(100, now)).state;
  const late = step(known, datagram(200, early)).state;
  t.equal(late.phase.kind, 'duplex');
  t.equal(late.newest, known.newest);
  t.equal(step(late, says(300, { ...now, revision: 2 })).state.partner?.revision, 2, 'the present one is heard');

  const replaced = step({ ...known, partnerHeard: false, partner: null }, datagram(400, { ...early, incarnation: 'b2' })).state;
  t.equal(replaced.newest?.incarnation, 'b2', 'a life that no link has told of yet');
});

t.test('a copy that is being made equal does not yield by a datagram', async (t) => {
  const held = step(duplexState(), {
    at: 100,
    kind: 'streamLost',
    stream: 'memory',
    cause: 'channel',
    byPartner: false,
    reason: 'gone',
  }).state;
  const late = partner({ ...DUPLEX, standing: 'inconsistent' }, { phase: 'standby' });
  const { state } = step({ ...held, otherPathUp: true }, { at: 200, kind: 'partnerSaid', status: late, path: 'management' });
  t.equal(state.record.standing, 'duplexPrimary');
});

t.test('a chosen history survives a restart beside the one that was given up', async (t) => {
  const waits = started({ ...DUPLEX, generation: 2, standing: 'simplex', arbiter: 'namedA' });
  const gaveUp = partner({ ...DUPLEX, generation: 4, standing: 'outdated' }, { phase: 'standby' });
  const { state } = steps(waits, [says(100, gaveUp), { at: 200, kind: 'tick' }]);
  t.match(state.record, { standing: 'simplex', generation: 5 });

  const running: State = { ...waits, phase: { kind: 'running', since: 0, busy: null, claim: null, next: null, note: '' } };
  const same = step(running, says(100, { ...gaveUp, record: { ...gaveUp.record, generation: 2 } })).state;
  t.match(same, { phase: { kind: 'resyncing' }, record: { generation: 3 } });
});

t.test('a recorded owner that the witness refuses keeps its history', async (t) => {
  const asks = step(started({ ...DUPLEX, standing: 'simplex' }), { at: 5_000, kind: 'tick' }).state;
  t.equal(asks.phase.claim?.by, 'witness');
  const refused: Event = { at: 5_100, kind: 'arbiterAnswered', generation: 1, answer: 'refused', reason: 'generation 2 was granted to B' };
  const { state, commands } = step(asks, refused);
  t.match(state, { phase: { kind: 'diverged' }, record: { standing: 'simplex' } });
  t.ok(commands.some((c) => c.kind === 'record' && c.row === '25'));
  t.same(step(state, { at: 5_200, kind: 'operatorRequested', action: 'force-start' }).state.record.forced, true);
});

t.test('a secondary that yielded in a planned stop never claims, whatever it loses then', async (t) => {
  const secondary: State = {
    ...started({ ...DUPLEX, standing: 'duplexSecondary', wasPrimary: true }),
    partnerHeard: true,
    links: [{ up: true, since: 0 }],
    phase: { kind: 'secondary', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const yielded = step(secondary, says(10, partner(DUPLEX, { phase: 'steppingDown' }))).state;
  t.match(yielded.record, { standing: 'outdated', wasPrimary: false }, 'nor is it taken for the primary that it once was');
  const { state, commands } = steps(yielded, [
    { at: 20, kind: 'linkObserved', link: 0, up: false, silentMs: 300 },
    { at: 5_000, kind: 'tick' },
  ]);
  t.match(state.phase, { kind: 'acting', next: 'standby' });
  t.notOk(commands.some((c) => c.kind === 'claim' || c.kind === 'takeOver'));
});

t.test('a disk that fails under a guest that is starting ends the start', async (t) => {
  const starting = steps({ ...started({ ...DUPLEX, standing: 'simplex' }), phase: { ...started(DUPLEX).phase, kind: 'starting' } }, [
    { at: 10, kind: 'tick' },
  ]).state;
  t.equal(starting.phase.busy, 'startGuest');
  const failed = step(starting, { at: 20, kind: 'diskFailed', reason: 'I/O error' });
  t.ok(failed.commands.some((c) => c.kind === 'stopAll'));
  const ended = step(failed.state, { at: 30, kind: 'commandFinished', command: 'stopAll', ok: true, reason: '' }).state;
  t.equal(ended.phase.kind, 'frozen');
});

t.test('a secondary that joins anew has answered no wish', async (t) => {
  const incoming: State = {
    ...started({ ...DUPLEX, standing: 'inconsistent' }),
    wishSeen: 2,
    phase: { kind: 'incoming', since: 0, busy: null, claim: null, next: null, note: '' },
  };
  const held = step(incoming, { at: 10, kind: 'readyHeld' }).state;
  const { state } = step(held, says(20, partner(DUPLEX, { phase: 'committing' })));
  t.match(state, { phase: { kind: 'ready' }, wishSeen: 0 });
});
