// Row 26: wherever the disk of the only good copy fails, the guest is frozen, and its error reaches nobody.
import t from 'tap';
import type { Event } from '../../../../appliance/core/events.ts';
import { type DurableRecord, FRESH_RECORD, type State, statusOf, step } from '../../../../appliance/core/machine.ts';
import { duplexState } from './duplex-state.ts';

type PhaseKind = State['phase']['kind'];

const SIMPLEX: DurableRecord = { ...FRESH_RECORD, generation: 1, standing: 'simplex' };
const FAILED: Event = { at: 10, kind: 'diskFailed', reason: 'write at 4096: EIO' };

function alone(kind: PhaseKind, phase: Partial<State['phase']> = {}): State {
  return {
    ...duplexState(),
    record: SIMPLEX,
    phase: { kind, since: 0, busy: null, claim: null, next: null, note: '', ...phase },
  };
}

t.test('while the partner is made equal: stopped with what was done for it, and the mirror hands no error to the guest', async (t) => {
  for (const before of [alone('resyncing', { busy: 'resync' }), alone('protecting', { busy: 'protect' })]) {
    const { state, commands } = step(before, FAILED);
    t.match(state, { phase: { kind: 'acting', next: 'frozen' }, diskFailed: /EIO/ }, before.phase.kind);
    const kinds = commands.map((c) => c.kind);
    t.ok(kinds.indexOf('freeze') < kinds.indexOf('stopAll'));
    t.ok(kinds.includes('freeze'));
    t.ok(commands.some((c) => c.kind === 'record' && c.row === '26'));
    const { state: frozen } = step(state, { at: 20, kind: 'commandFinished', command: 'stopAll', ok: true, reason: '' });
    t.equal(frozen.phase.kind, 'frozen');
  }
});

t.test('alone: frozen as it is', async (t) => {
  const { state, commands } = step(alone('running'), FAILED);
  t.equal(state.phase.kind, 'frozen');
  t.ok(commands.some((c) => c.kind === 'freeze'));
  t.notOk(commands.some((c) => c.kind === 'stopAll'));
});

t.test('while this CoServer goes on alone: frozen as soon as it has', async (t) => {
  for (const command of ['continueAlone', 'abandonPartner', 'takeOver'] as const) {
    const failed = step(alone('acting', { busy: command, next: 'running' }), FAILED).state;
    t.equal(failed.phase.kind, 'acting');
    const { state, commands } = step(failed, { at: 20, kind: 'commandFinished', command, ok: true, reason: '' });
    t.equal(state.phase.kind, 'frozen', command);
    t.ok(commands.some((c) => c.kind === 'freeze'));
    t.equal(commands.filter((c) => c.kind === 'record' && c.row === '26').length, 1);
  }
});

t.test('a guest that was started since has a disk that serves', async (t) => {
  const starting = { ...alone('starting', { busy: 'startGuest' }), diskFailed: 'write at 4096: EIO' };
  const { state } = step(starting, { at: 20, kind: 'commandFinished', command: 'startGuest', ok: true, reason: '' });
  t.match(state, { phase: { kind: 'running' }, diskFailed: null });
});

t.test('a copy that was being made equal is given up by its partner that froze', async (t) => {
  for (const kind of ['target', 'incoming'] as const) {
    const following = { ...alone(kind), record: { ...SIMPLEX, standing: 'inconsistent' as const } };
    const status = { ...statusOf(alone('frozen')), coServer: 'B' as const, incarnation: 'b1' };
    const { state } = step(following, { at: 10, kind: 'partnerSaid', status, path: 'link' });
    t.match(state.phase, { kind: 'acting', next: 'standby' }, kind);
  }
});
