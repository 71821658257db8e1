// What arbitration does with a partner that was replaced (decision 0014): the new one, which knows nothing, never leads; the old one, which hears nobody
// any more because its key is worthless, runs by no arbiter; and its record does not help it at the witness either.
import t from 'tap';
import {
  type Arbiter,
  type DurableRecord,
  FRESH_RECORD,
  initialState,
  type PhaseKind,
  type State,
  statusOf,
} from '../../../../appliance/core/machine.ts';
import { mayRequest } from '../../../../appliance/core/requests.ts';
import { decideClaim, witnessStart } from '../../../../appliance/core/witness.ts';
import { steps } from './duplex-state.ts';

const OPTIONS = { pairId: 'p', version: '1', links: 2, now: 0, adoptable: false, canCompare: true };
const LATER = [1, 5_000, 60_000, 600_000].map((at) => ({ at, kind: 'tick' as const }));
const RUNS: readonly PhaseKind[] = ['starting', 'running', 'resyncing', 'protecting', 'committing', 'duplex', 'acting'];

const coServer = (me: 'A' | 'B', record: Partial<DurableRecord>): State =>
  initialState({ ...OPTIONS, me, incarnation: me, record: { ...FRESH_RECORD, ...record } });

function hears(state: State, other: State, phase: PhaseKind): State {
  return { ...state, partnerHeard: true, partner: { ...statusOf(other), phase } };
}

t.test('a new server never leads: not beside the owner, not alone, not by force', async (t) => {
  const owner = coServer('B', { generation: 7, standing: 'simplex' });
  for (const phase of ['running', 'off', 'isolated', 'claiming', 'starting'] as const) {
    // As CoServer A, which leads where both are new.
    const { state, commands } = steps(hears(coServer('A', {}), owner, phase), LATER);
    t.equal(state.phase.kind, 'standby', phase);
    t.notOk(commands.some((c) => c.kind === 'startGuest' || c.kind === 'takeOver' || c.kind === 'persist'));
    t.match(mayRequest(state, 'force-start'), { allowed: false });
  }
  const alone = steps(coServer('A', {}), LATER).state;
  t.equal(alone.phase.kind, 'isolated');
  t.match(mayRequest(alone, 'force-start'), { allowed: false, reason: /nothing here to run/ });
});

t.test('the old one hears nobody: it runs by no arbiter', async (t) => {
  for (const arbiter of ['witness', 'fence', 'namedA', 'namedB'] satisfies Arbiter[])
    for (const standing of ['duplexPrimary', 'duplexSecondary', 'outdated', 'inconsistent'] as const) {
      const { state } = steps(coServer('B', { generation: 6, standing, arbiter }), LATER);
      t.notOk(RUNS.includes(state.phase.kind), `${arbiter}, ${standing}: ${state.phase.kind}`);
    }
});

t.test('nor would the witness let it, if it still knew its key', async (t) => {
  const group = { ...witnessStart({ generation: 7, owner: 'A', counter: 3 }, 'w'), confirmed: true };
  const claim = { claimant: 'B' as const, generation: 6, seen: null };
  t.match(decideClaim(group, claim).answer, { kind: 'refused', reason: /generation 7 was granted to A/ });
});
