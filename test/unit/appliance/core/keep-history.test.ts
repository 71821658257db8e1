// A history that was given up is kept aside before this CoServer is made equal to the other one (row 25).
import t from 'tap';
import { type Command, type Event, FRESH_RECORD, initialState, type State, statusOf } from '../../../../appliance/core/machine.ts';
import { steps } from './duplex-state.ts';

const tick = (at: number): Event => ({ at, kind: 'tick' });
const kinds = (commands: readonly Command[]) => commands.map((c) => c.kind).filter((k) => k !== 'say' && k !== 'armWatchdog');

/** A gave its history of generation 5 up; B goes on with its own. */
function givenUp() {
  const options = { incarnation: 'i', pairId: 'p', version: '1', links: 1, now: 0, adoptable: false, canCompare: true };
  const owner = { ...FRESH_RECORD, generation: 5, standing: 'simplex' as const, forced: true };
  const a = initialState({ ...options, me: 'A', record: owner });
  const b = initialState({ ...options, me: 'B', incarnation: 'j', record: { ...owner, generation: 6 } });
  const partner = { ...statusOf(b), phase: 'running' as const };
  const diverged: State = { ...a, partnerHeard: true, partner, phase: { ...a.phase, kind: 'diverged' } };
  return steps(diverged, [
    { at: 1, kind: 'operatorRequested', action: 'give-up-history' },
    { at: 2, kind: 'commandFinished', command: 'stopAll', ok: true, reason: '' },
    { at: 3, kind: 'partnerSaid', path: 'link', status: { ...partner, phase: 'resyncing', revision: 9 } },
  ]);
}

t.test('durably to be kept, kept when everything has stopped, and not made equal before that', async (t) => {
  const { state, commands } = givenUp();
  const first = commands.find((c) => c.kind === 'persist');
  t.match(first, { record: { standing: 'outdated', generation: 5, keep: 5 } }, 'the promise is durable before anything else happens');
  t.same(kinds(commands).slice(-4), ['freeze', 'persist', 'stopAll', 'keepHistory']);
  t.match(
    commands.find((c) => c.kind === 'keepHistory'),
    { generation: 5 },
  );
  t.same(kinds(steps(state, [tick(10), tick(20)]).commands), [], 'it waits');
  const kept = steps(state, [{ at: 30, kind: 'commandFinished', command: 'keepHistory', ok: true, reason: 'generation 5 is kept in /d' }]);
  t.same(kinds(kept.commands), ['record', 'persist', 'persist', 'openTarget']);
  t.match(
    kept.commands.find((c) => c.kind === 'record'),
    { row: '25', text: 'The history here: generation 5 is kept in /d.' },
  );
});

t.test('it cannot be kept: out, said once, tried again at growing pauses', async (t) => {
  let { state } = givenUp();
  const tried: number[] = [];
  const said: Command[] = [];
  for (let at = 10; at < 60_000; at += 50) {
    const events: Event[] = [tick(at)];
    if (state.phase.busy === 'keepHistory') {
      tried.push(at);
      events.unshift({ at, kind: 'commandFinished', command: 'keepHistory', ok: false, reason: '/d has 4 MiB' });
    }
    const next = steps(state, events);
    state = next.state;
    said.push(...next.commands.filter((c) => c.kind === 'record'));
    t.notOk(next.commands.some((c) => c.kind === 'openTarget'));
  }
  t.ok(tried.length >= 5 && tried.length <= 8, `tried ${tried.length} times within a minute`);
  t.equal(said.length, 1);
  t.match(said[0], {
    severity: 'critical',
    row: '25',
    text: /could not be kept aside: \/d has 4 MiB\. This CoServer stays out until it is\./,
  });
  t.match(state.phase.note, /4 MiB/, 'the console says why it is out');
});

t.test('after a restart it is still to be kept; the partner does not begin meanwhile', async (t) => {
  const { state } = givenUp();
  const again = initialState({ ...state, links: 1, now: 0, record: state.record, arbiters: { witness: true, fence: false } });
  const seen = steps({ ...again, partnerHeard: true, partner: state.partner }, [tick(1), tick(2)]);
  t.ok(kinds(seen.commands).includes('keepHistory'));
  t.notOk(kinds(seen.commands).includes('openTarget'));
  const partner = { ...statusOf({ ...state, phase: { ...state.phase, kind: 'standby' } }), coServer: 'A' as const };
  const owner = { ...FRESH_RECORD, generation: 6, standing: 'simplex' as const };
  const b = initialState({ ...state, me: 'B', links: 1, now: 0, record: owner, arbiters: { witness: true, fence: false } });
  const runs: State = { ...b, partnerHeard: true, partner, phase: { ...b.phase, kind: 'running' } };
  t.equal(steps(runs, [tick(1), tick(100)]).state.phase.kind, 'running');
  const kept = { ...partner, record: { ...partner.record, keep: null } };
  t.equal(steps({ ...runs, partner: kept }, [tick(1), tick(100)]).state.phase.kind, 'resyncing');
});

t.test('by force from an older copy: the restore point is told, and does not keep the guest from starting', async (t) => {
  const options = { incarnation: 'i', pairId: 'p', version: '1', links: 1, now: 0, adoptable: false, canCompare: true };
  const record = { ...FRESH_RECORD, generation: 5, standing: 'outdated' as const };
  const forced = steps(initialState({ ...options, me: 'A', record }), [
    tick(1),
    { at: 2, kind: 'operatorRequested', action: 'force-older-copy' },
  ]);
  t.ok(kinds(forced.commands).indexOf('keepHistory') < kinds(forced.commands).indexOf('startGuest'));
  const failed = steps(forced.state, [{ at: 3, kind: 'commandFinished', command: 'keepHistory', ok: false, reason: 'no room' }]);
  t.match(failed.commands, [{ kind: 'record', row: '25', severity: 'critical', text: /could not be kept aside: no room\./ }]);
  t.equal(failed.state.phase.busy, 'startGuest');
});
