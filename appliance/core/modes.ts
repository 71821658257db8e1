// How output is released while both replicas run: lockstep (what they agree on leaves at once) or passive (everything waits for
// its checkpoint). Lockstep is worth it only while the replicas mostly agree: when they do not, every answer waits for the
// other replica in vain and costs a checkpoint all the same. Row 20 of the decision table.
//
//   lockstep --less than half agreed for 5 s--> passive --pause: 30 s, doubled each time--> trial --most agreed--> lockstep
//                                                  ^                                          |
//                                                  +------------- too little agreed ----------+
import { type Event, FIRST_PAUSE_MS, type ModePolicy, type OutputMode, type State, type Work } from './state.ts';

const WINDOW_MS = 5_000;
/** Fewer checkpoints asked for than that cost nothing worth a change (per second). */
const MINIMUM_ASKED_PER_S = 2;
/** Share of frames that left because the replicas agreed: below it lockstep is left; a trial must reach the higher one. */
const LEAVE_BELOW = 0.5;
const STAY_ABOVE = 0.7;
const LONGEST_PAUSE_MS = 15 * 60_000;
/** A trial that lasted so long is none any more: the next pause is short again. */
const TRIAL_MS = 60_000;

/** The mode that holds: what the configuration allows, what the operator pinned, what the policy chose. */
export function effectiveMode(s: State): OutputMode {
  if (!s.canCompare) return 'passive';
  return s.record.pinnedMode ?? s.policy.mode;
}

export function modeSentence(s: State): string {
  if (!s.canCompare) return 'Passive by configuration: every answer waits for a checkpoint.';
  if (s.record.pinnedMode) return `Pinned to ${s.record.pinnedMode} by the operator.`;
  const { policy } = s;
  if (policy.mode === 'lockstep') return `What both replicas say leaves at once${policy.isTrial ? '; on trial' : ''}: ${policy.why}.`;
  return `Every answer waits for a checkpoint: ${policy.why}. Lockstep is tried again in ${Math.max(0, Math.ceil((policy.tryAt - s.now) / 1000))} s.`;
}

export function onComparison(work: Work, e: Extract<Event, { kind: 'comparisonObserved' }>): void {
  const { state } = work;
  if (state.phase.kind !== 'duplex' || effectiveMode(state) !== 'lockstep') return;
  const { agreed, waited, asked } = e;
  const seen = [...state.policy.seen, { at: state.now, agreed, waited, asked }].filter((o) => state.now - o.at < WINDOW_MS);
  state.policy = { ...state.policy, seen };
  if (state.record.pinnedMode || state.now - state.policy.since < WINDOW_MS) return;
  const sum = (f: (o: ModePolicy['seen'][number]) => number) => seen.reduce((total, o) => total + f(o), 0);
  const frames = sum((o) => o.agreed) + sum((o) => o.waited);
  const askedPerS = sum((o) => o.asked) / (WINDOW_MS / 1000);
  if (frames === 0 || askedPerS < MINIMUM_ASKED_PER_S) return;
  const share = sum((o) => o.agreed) / frames;
  if (share >= (state.policy.isTrial ? STAY_ABOVE : LEAVE_BELOW)) return;
  const percent = Math.round(share * 100);
  choose(work, 'passive', `the replicas agreed on ${percent} % only, with ${Math.round(askedPerS)} checkpoints a second`);
}

export function tickModes(work: Work): void {
  const { state } = work;
  const { policy } = state;
  if (state.phase.kind !== 'duplex') {
    if (policy.seen.length > 0) state.policy = { ...policy, seen: [] };
    return;
  }
  if (policy.mode === 'passive' && state.now >= policy.tryAt) choose(work, 'lockstep', 'the pause after the last differences is over');
  else if (policy.mode === 'lockstep' && policy.isTrial && state.now - policy.since >= TRIAL_MS)
    state.policy = { ...policy, isTrial: false, pauseMs: FIRST_PAUSE_MS, why: 'the replicas agree again' };
}

/** Both replicas run from now on: the gate stands in lockstep, as its inputs had to be fed from the start. */
export function beginModes(work: Work): void {
  const { state } = work;
  // A judgement needs a whole window of this protection: the first second, with a replica that runs cold, is none.
  state.policy = { ...state.policy, since: state.now, seen: [] };
  if (state.canCompare && effectiveMode(state) === 'passive') work.commands.push({ kind: 'setMode', mode: 'passive' });
}

/** The operator pins a mode, or leaves it to the policy (null). */
export function applyPin(work: Work, before: OutputMode): void {
  const { state, commands } = work;
  const now = effectiveMode(state);
  state.policy = { ...state.policy, since: state.now, seen: [] };
  if (state.phase.kind === 'duplex' && now !== before) commands.push({ kind: 'setMode', mode: now });
}

function choose(work: Work, mode: OutputMode, why: string): void {
  const { state, commands } = work;
  const { policy } = state;
  const before = effectiveMode(state);
  state.policy =
    mode === 'passive'
      ? {
          ...policy,
          mode,
          since: state.now,
          why,
          isTrial: false,
          tryAt: state.now + policy.pauseMs,
          pauseMs: Math.min(policy.pauseMs * 2, LONGEST_PAUSE_MS),
          seen: [],
        }
      : { ...policy, mode, since: state.now, why, isTrial: true, seen: [] };
  if (effectiveMode(state) === before) return;
  commands.push({
    kind: 'record',
    severity: mode === 'passive' ? 'warning' : 'info',
    row: '20',
    text: mode === 'passive' ? `Lockstep is left for passive checkpoints: ${why}.` : `Lockstep is tried again: ${why}.`,
  });
  commands.push({ kind: 'setMode', mode });
}
