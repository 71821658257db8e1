// A guest whose operating system crashes (row 19): restarted once, and not again before it ran for a while.
import t from 'tap';
import { type Command, type Event, FRESH_RECORD, initialState, type State, statusOf } from '../../../../appliance/core/machine.ts';
import { duplexState, steps } from './duplex-state.ts';

const panic = (at: number): Event => ({ at, kind: 'engineExited', cause: 'guestPanic', reason: 'Kernel panic - not syncing' });
const tick = (at: number): Event => ({ at, kind: 'tick' });
const stopped = (at: number): Event => ({ at, kind: 'commandFinished', command: 'stopAll', ok: true, reason: '' });
const started = (at: number): Event => ({ at, kind: 'commandFinished', command: 'startGuest', ok: true, reason: '' });
const has = (commands: readonly Command[], kind: Command['kind']) => commands.some((c) => c.kind === kind);

function alone(): State {
  const state = duplexState();
  return { ...state, record: { ...state.record, standing: 'simplex' }, phase: { ...state.phase, kind: 'running', busy: null } };
}

t.test('restarted once; a second panic within a minute of the restart gives up, in words', async (t) => {
  const first = steps(alone(), [panic(1_000), stopped(1_500), tick(3_000)]);
  t.ok(has(first.commands, 'startGuest'));
  const again = steps(first.state, [started(30_000), panic(85_000)]);
  t.match(
    again.commands.find((c) => c.kind === 'record' && c.row === '19'),
    {
      severity: 'critical',
      text: /panicked again, 55 s after it was restarted for that .*not restarted a second time/,
    },
  );
  const failed = steps(again.state, [stopped(85_500), tick(100_000), tick(200_000)]);
  t.equal(failed.state.phase.kind, 'failed');
  t.match(failed.state.phase.note, /panicked again/, 'the console says why');
  t.notOk(has(failed.commands, 'startGuest'));
  const asked = steps(failed.state, [{ at: 300_000, kind: 'operatorRequested', action: 'start-guest' }, tick(305_000)]);
  t.equal(asked.state.phase.kind, 'claiming', 'the operator may start it');
  t.equal(asked.state.panicRestart, null);
});

t.test('one that ran for a minute is restarted again', async (t) => {
  const late = steps(alone(), [panic(1_000), stopped(1_500), tick(3_000), started(30_000), panic(91_000), stopped(91_500), tick(99_000)]);
  t.equal(late.commands.filter((c) => c.kind === 'startGuest').length, 2);
});

t.test('an engine that crashes is no panic: restarted with growing pauses, as before', async (t) => {
  const crash = (at: number): Event => ({ at, kind: 'engineExited', cause: 'crash', reason: 'signal SIGSEGV' });
  const after = steps(alone(), [crash(1_000), stopped(1_500), tick(3_000), started(30_000), crash(35_000), stopped(35_500), tick(45_000)]);
  t.equal(after.commands.filter((c) => c.kind === 'startGuest').length, 2);
});

t.test('until it has run for a minute nobody joins: the partner would crash with it, and restart it once more', async (t) => {
  const options = { incarnation: 'j', pairId: 'p', version: '1', links: 1, now: 0, adoptable: false, canCompare: true };
  const outdated = initialState({ ...options, me: 'B', record: { ...FRESH_RECORD, generation: 1, standing: 'outdated' } });
  const partner = { ...statusOf(outdated), phase: 'standby' as const };
  const { state } = steps(alone(), [panic(1_000), stopped(1_500), tick(3_000), started(30_000)]);
  const waits = steps({ ...state, partner }, [tick(30_100), tick(89_000)]);
  t.equal(waits.state.phase.kind, 'running');
  t.equal(steps(waits.state, [tick(90_100)]).state.phase.kind, 'resyncing');
});

t.test('in duplex the primary yields: the replica goes on, or crashes alike and restarts it', async (t) => {
  const primary = { ...duplexState(), partnerPromotable: true };
  const { state, commands } = steps(primary, [panic(1_000)]);
  t.equal(state.record.standing, 'outdated');
  t.ok(has(commands, 'stopAll'));
  const secondary: State = {
    ...alone(),
    phase: { kind: 'acting', since: 0, busy: 'takeOver', claim: null, next: 'running', note: '' },
  };
  const taken: Event = { at: 2_000, kind: 'commandFinished', command: 'takeOver', ok: true, reason: '' };
  const alike = steps(secondary, [panic(1_000), taken, tick(2_100), started(20_000), panic(30_000)]);
  t.ok(has(alike.commands, 'startGuest'));
  t.match(alike.state.phase, { kind: 'acting', next: 'failed' });
});
