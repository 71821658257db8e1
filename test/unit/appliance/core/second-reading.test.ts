// What a second reading of the core found, each as the few events that matter.
import t from 'tap';
import { FRESH_RECORD, initialState, statusOf, step } from '../../../../appliance/core/machine.ts';
import { mayRequest } from '../../../../appliance/core/requests.ts';
import { steps } from './duplex-state.ts';

t.test('no force against a partner that is seen to run, over whatever path', async (t) => {
  const options = { me: 'A' as const, incarnation: 'a1', pairId: 'p', version: '1', links: 1, now: 0, adoptable: false, canCompare: true };
  const outdated = initialState({ ...options, record: { ...FRESH_RECORD, generation: 5, standing: 'outdated' } });
  const owner = initialState({ ...options, me: 'B', incarnation: 'b1', record: { ...FRESH_RECORD, generation: 6, standing: 'simplex' } });
  const runs = statusOf({ ...owner, phase: { ...owner.phase, kind: 'running' } });
  const { state } = steps(outdated, [
    { at: 1, kind: 'tick' },
    { at: 2, kind: 'otherPathObserved', up: true },
    { at: 3, kind: 'partnerSaid', status: runs, path: 'management' },
  ]);
  t.equal(state.phase.kind, 'standby');
  t.match(mayRequest(state, 'force-older-copy'), { allowed: false, reason: /runs the workload/ });
  const silent = step(state, { at: 9_000, kind: 'otherPathObserved', up: false }).state;
  t.same(mayRequest(silent, 'force-older-copy'), { allowed: true }, 'unseen, it is the operator who answers for it');
});
