// Different versions (row 29): duplex only where one of the two declares the other as compatible.
import t from 'tap';
import { FRESH_RECORD, initialState, type State, statusOf } from '../../../../appliance/core/machine.ts';
import { steps } from './duplex-state.ts';

function pair(mine: readonly string[], theirs: readonly string[]): State {
  const options = { incarnation: 'i', pairId: 'p', links: 1, now: 0, adoptable: false, canCompare: true };
  const record = { ...FRESH_RECORD, generation: 1, standing: 'outdated' as const };
  const b = initialState({ ...options, me: 'B', incarnation: 'j', version: '2.0.0', record, compatibleVersions: theirs });
  const a = initialState({ ...options, me: 'A', version: '1.0.0', record: { ...record, standing: 'simplex' }, compatibleVersions: mine });
  return {
    ...a,
    partnerHeard: true,
    partner: { ...statusOf(b), phase: 'standby' },
    phase: { ...a.phase, kind: 'running' },
  };
}

const joins = (state: State) => steps(state, [{ at: 1, kind: 'tick' }]);

t.test('declared by either of them', async (t) => {
  t.equal(joins(pair(['2.0.0'], [])).state.phase.kind, 'resyncing');
  t.equal(joins(pair([], ['1.0.0'])).state.phase.kind, 'resyncing', 'the older one cannot know the newer one');
});

t.test('by none: it stays out, and that is told once', async (t) => {
  const { state, commands } = steps(pair(['1.9.0'], ['0.9.0']), [
    { at: 1, kind: 'tick' },
    { at: 2, kind: 'tick' },
  ]);
  t.equal(state.phase.kind, 'running');
  t.equal(commands.filter((c) => c.kind === 'record' && c.row === '29').length, 1);
});
