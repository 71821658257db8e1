// An update of the pair on the first page: while it goes on, and where it waits for the operator.
import t from 'tap';
import { pairAttention } from '../../../../appliance/update/index.ts';

const pair = { target: '1.1.0', state: 'rolling' as const, text: 'The other CoServer starts again.', asksRestartGuest: false };

t.test('what goes on is told, and whether it waits for somebody', async (t) => {
  t.match(pairAttention(pair), [{ kind: 'update', severity: 'info', title: /is being updated to 1\.1\.0/, sentence: pair.text, ways: [] }]);
  t.match(pairAttention({ ...pair, state: 'sending' }), [{ severity: 'info' }]);
  t.match(pairAttention({ ...pair, asksRestartGuest: true }), [
    { severity: 'warning', title: /waits for your word/, endsWhen: [], ways: [{ action: null }] },
  ]);
});

t.test('nothing, where none goes on', async (t) => {
  for (const state of ['done', 'stopped'] as const) t.strictSame(pairAttention({ ...pair, state, asksRestartGuest: true }), []);
  t.strictSame(pairAttention(null), []);
});
