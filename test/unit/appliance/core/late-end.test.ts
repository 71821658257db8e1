// The end of a change-over that was overtaken came late and led on: a takeover that failed after this copy had been given up started
// a guest on it.
import t from 'tap';
import { type State, step } from '../../../../appliance/core/machine.ts';
import { duplexState } from './duplex-state.ts';

const leaving = (): State => ({
  ...duplexState(),
  record: { ...duplexState().record, standing: 'outdated', generation: 2 },
  phase: { kind: 'acting', since: 0, busy: 'stopAll', claim: null, next: 'standby', note: '' },
});

t.test('a takeover that fails while this side stops starts nothing', async (t) => {
  const { state, commands } = step(leaving(), {
    at: 20,
    kind: 'commandFinished',
    command: 'takeOver',
    ok: false,
    reason: 'overtaken by events',
  });
  t.equal(state.phase.next, 'standby');
  t.notOk(commands.some((c) => c.kind === 'startGuest'));
});

t.test('and one that ends well is not taken for the end of the stop', async (t) => {
  const before = leaving();
  t.equal(step(before, { at: 20, kind: 'commandFinished', command: 'takeOver', ok: true, reason: '' }).state.phase.kind, 'acting');
  t.equal(step(before, { at: 20, kind: 'commandFinished', command: 'stopAll', ok: true, reason: '' }).state.phase.kind, 'standby');
});
