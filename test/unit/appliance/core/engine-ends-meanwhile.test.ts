// An engine that ended while this side was changing over was forgotten: "running", with nothing that ran.
import t from 'tap';
import { type CommandName, type State, step } from '../../../../appliance/core/machine.ts';
import { duplexState } from './duplex-state.ts';

const acting = (busy: CommandName): State => ({
  ...duplexState(),
  record: { ...duplexState().record, standing: 'simplex', generation: 2 },
  phase: { kind: 'acting', since: 0, busy, claim: null, next: 'running', note: '' },
});

t.test('a crash: started again when the change is over', async (t) => {
  const { state } = step(acting('continueAlone'), { at: 10, kind: 'engineExited', cause: 'crash', reason: 'killed' });
  const after = step(state, { at: 20, kind: 'commandFinished', command: 'continueAlone', ok: true, reason: '' });
  t.equal(after.state.phase.kind, 'starting');
  t.ok(after.commands.some((c) => c.kind === 'startGuest'));
});

t.test('the guest switched itself off: off', async (t) => {
  const { state } = step(acting('abandonPartner'), { at: 10, kind: 'engineExited', cause: 'guestShutdown', reason: 'exit code 0' });
  t.equal(state.record.workloadOff, true);
  const after = step(state, { at: 20, kind: 'commandFinished', command: 'abandonPartner', ok: true, reason: '' });
  t.equal(after.state.phase.kind, 'off');
});

t.test('letting the partner go failed: nothing is known of the guest, it is started again', async (t) => {
  const { state, commands } = step(acting('abandonPartner'), {
    at: 20,
    kind: 'commandFinished',
    command: 'abandonPartner',
    ok: false,
    reason: 'no engine',
  });
  t.ok(commands.some((c) => c.kind === 'stopAll'));
  t.equal(state.phase.next, 'starting');
});
