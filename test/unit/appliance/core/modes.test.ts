import t from 'tap';
import { type Event, type State, step } from '../../../../appliance/core/machine.ts';
import { effectiveMode, modeSentence } from '../../../../appliance/core/modes.ts';
import { duplexState, steps } from './duplex-state.ts';

/** One status of the gate each second. */
function seconds(from: number, count: number, share: number, asked = 10): Event[] {
  return Array.from({ length: count }, (_, i) => ({
    at: from + (i + 1) * 1_000,
    kind: 'comparisonObserved' as const,
    agreed: Math.round(100 * share),
    waited: Math.round(100 * (1 - share)),
    asked,
  }));
}

const modes = (commands: { kind: string; mode?: string }[]) => commands.filter((c) => c.kind === 'setMode').map((c) => c.mode);

t.test('replicas that agree stay in lockstep; a quiet guest too', async (t) => {
  t.same(modes(steps(duplexState(), seconds(0, 60, 0.9)).commands), []);
  t.same(modes(steps(duplexState(), seconds(0, 60, 0, 1)).commands), [], 'one checkpoint a second costs nothing');
});

t.test('replicas that differ: passive after the window, and the record says why', async (t) => {
  const { state, commands } = steps(duplexState(), seconds(0, 6, 0.2));
  t.same(modes(commands), ['passive']);
  t.equal(effectiveMode(state), 'passive');
  const said = commands.find((c) => c.kind === 'record' && c.row === '20');
  t.match(said, { severity: 'warning', text: /agreed on 20 % only, with 10 checkpoints a second/ });
  t.match(modeSentence(state), /tried again in 29 s/);
});

t.test('it comes back by itself, and a failed trial makes the next pause longer', async (t) => {
  let state = duplexState();
  let now = 0;
  const pauses: number[] = [];
  for (let round = 0; round < 4; round++) {
    const left = steps(state, seconds(now, 6, 0.2));
    state = left.state;
    t.equal(effectiveMode(state), 'passive');
    pauses.push(state.policy.tryAt - state.policy.since);
    now = state.policy.tryAt;
    const before = step(state, { at: now - 1, kind: 'tick' });
    t.equal(effectiveMode(before.state), 'passive');
    const tried = step(before.state, { at: now, kind: 'tick' });
    t.same(modes(tried.commands), ['lockstep']);
    state = tried.state;
  }
  t.same(pauses, [30_000, 60_000, 120_000, 240_000]);
});

t.test('hysteresis: what is enough to stay is not enough to come back', async (t) => {
  t.same(modes(steps(duplexState(), seconds(0, 20, 0.6)).commands), []);
  const trial: State = { ...duplexState(), policy: { ...duplexState().policy, isTrial: true } };
  t.same(modes(steps(trial, seconds(0, 20, 0.6)).commands), ['passive']);
  const passed = steps(trial, seconds(0, 61, 0.9));
  t.equal(passed.state.policy.isTrial, false);
  t.same(modes(steps(passed.state, seconds(61_000, 20, 0.6)).commands), []);
});

t.test('the operator pins a mode, which holds until he lets it go', async (t) => {
  const pin = (at: number, action: string): Event => ({ at, kind: 'operatorRequested', action });
  const pinned = steps(duplexState(), [pin(100, 'pin-lockstep'), ...seconds(1_000, 20, 0)]);
  t.same(modes(pinned.commands), [], 'pinned: however they differ');
  t.equal(pinned.state.record.pinnedMode, 'lockstep');
  t.ok(
    pinned.commands.some((c) => c.kind === 'persist'),
    'durable',
  );
  const passive = step(pinned.state, pin(30_000, 'pin-passive'));
  t.same(modes(passive.commands), ['passive']);
  t.match(modeSentence(passive.state), /Pinned to passive by the operator/);
  const again = step(passive.state, pin(31_000, 'pin-passive'));
  t.match(again.commands[0], { kind: 'record', text: /It is so already/ });
  t.same(modes(step(passive.state, pin(32_000, 'automatic-mode')).commands), ['lockstep']);
});

t.test('a pin outlives a takeover: the secondary writes it down', async (t) => {
  const primary = duplexState();
  const secondary: State = {
    ...primary,
    me: 'B',
    record: { ...primary.record, standing: 'duplexSecondary' },
    phase: { ...primary.phase, kind: 'secondary' },
  };
  const status = {
    coServer: 'A' as const,
    incarnation: 'a1',
    record: { ...primary.record, pinnedMode: 'passive' as const },
    phase: 'duplex' as const,
    revision: 9,
    version: '1',
    pairId: 'p',
    proved: true,
    asksYield: false,
  };
  const told = step(secondary, { at: 5, kind: 'partnerSaid', status, path: 'link' });
  t.match(told.commands[0], { kind: 'persist', record: { pinnedMode: 'passive', standing: 'duplexSecondary' } });
});

t.test('a passive pair is passive, and refuses to compare', async (t) => {
  const state = duplexState({ canCompare: false });
  t.equal(effectiveMode(state), 'passive');
  t.match(step(state, { at: 1, kind: 'operatorRequested', action: 'pin-lockstep' }).commands[0], { text: /configured as passive/ });
  const began = duplexState({ record: { ...state.record, pinnedMode: 'passive' } });
  t.equal(effectiveMode(began), 'passive');
});

t.test('a new protection is judged by a whole window of its own', async (t) => {
  const duplex = duplexState();
  const committing: State = { ...duplex, now: 100_000, phase: { ...duplex.phase, kind: 'committing', busy: 'releaseReady' } };
  const bad = (at: number): Event => ({ at, kind: 'comparisonObserved', agreed: 1, waited: 99, asked: 40 });
  const begun = step(committing, { at: 100_000, kind: 'commandFinished', command: 'releaseReady', ok: true, reason: '' }).state;
  const early = steps(begun, [bad(101_000), bad(102_000)]).state;
  t.equal(early.policy.mode, 'lockstep', 'the first seconds of a cold replica');
  t.equal(steps(early, [bad(103_000), bad(104_000), bad(105_000)]).state.policy.mode, 'passive');
});
