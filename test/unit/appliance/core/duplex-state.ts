// A primary whose two replicas have just begun to run, for the tests of what is decided from there on.
import { type Event, FRESH_RECORD, initialState, type State, type Step, step } from '../../../../appliance/core/machine.ts';

export function duplexState(change: Partial<State> = {}): State {
  const state = initialState({
    me: 'A',
    incarnation: 'a1',
    pairId: 'p',
    version: '1',
    record: { ...FRESH_RECORD, generation: 1, standing: 'duplexPrimary' },
    links: 2,
    now: 0,
    adoptable: false,
    canCompare: true,
  });
  const ready: State = {
    ...state,
    partnerHeard: true,
    phase: { kind: 'committing', since: 0, busy: 'releaseReady', claim: null, next: null, note: '' },
    ...change,
  };
  return step(ready, { at: 0, kind: 'commandFinished', command: 'releaseReady', ok: true, reason: '' }).state;
}

/** Steps in a row: the last state, and the commands of all of them. */
export function steps(state: State, events: readonly Event[]): Step {
  let all: Step = { state, commands: [] };
  for (const event of events) {
    const next = step(all.state, event);
    all = { state: next.state, commands: [...all.commands, ...next.commands] };
  }
  return all;
}
