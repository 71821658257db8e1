// A disk that is not this pair's: said once, on all consoles, tried again by itself, and adopted only by the operator's word.
import t from 'tap';
import { attentionOf } from '../../../../appliance/core/attention.ts';
import { type Command, type Event, FRESH_RECORD, initialState, type State, statusOf } from '../../../../appliance/core/machine.ts';
import { mayRequest } from '../../../../appliance/core/requests.ts';
import { steps } from './duplex-state.ts';

const REFUSAL = 'the disk /d belongs to another pair';
const texts = (commands: readonly Command[]) => commands.flatMap((c) => (c.kind === 'record' ? [c.text] : []));

/** B is outdated, A runs alone and is ready to make it equal. */
function standby(): State {
  const options = { incarnation: 'i', pairId: 'p', version: '1', links: 1, now: 0, adoptable: false, canCompare: true };
  const a = initialState({ ...options, me: 'A', incarnation: 'j', record: { ...FRESH_RECORD, generation: 5, standing: 'simplex' } });
  const b = initialState({ ...options, me: 'B', record: { ...FRESH_RECORD, generation: 4, standing: 'outdated' } });
  const partner = { ...statusOf(a), phase: 'resyncing' as const };
  return { ...b, partnerHeard: true, partner, phase: { ...b.phase, kind: 'standby' } };
}

/** The attempt at `at` ends with a refusal. */
const attempt = (at: number): Event[] => [
  { at, kind: 'tick' },
  { at: at + 1, kind: 'diskJudged', refusal: REFUSAL },
  { at: at + 2, kind: 'commandFinished', command: 'openTarget', ok: false, reason: REFUSAL },
  { at: at + 3, kind: 'commandFinished', command: 'stopAll', ok: true, reason: '' },
];

t.test('refused: said once, shown with what to do, tried again', async (t) => {
  t.match(mayRequest(standby(), 'adopt-disk'), { allowed: false, reason: /is this pair's/ });
  const first = steps(standby(), attempt(10));
  t.ok(first.commands.some((c) => c.kind === 'openTarget'));
  t.equal(first.state.phase.kind, 'standby');
  t.ok(texts(first.commands).includes(`The disk here is not used: ${REFUSAL}.`));
  t.match(attentionOf(first.state), [
    { kind: 'diskRefused', severity: 'critical', sentence: 'The disk /d belongs to another pair.', ways: [{}, { action: 'adopt-disk' }] },
  ]);
  const again = steps(first.state, attempt(120_000));
  t.ok(again.commands.some((c) => c.kind === 'openTarget'));
  t.same(texts(again.commands), []);
  const right = steps(again.state, [{ at: 240_000, kind: 'diskJudged', refusal: null }]);
  t.same(attentionOf(right.state), []);
  t.same(texts(right.commands), ["The disk here is this pair's, and is used."]);
});

t.test('adopted: by the operator alone, then tried at once', async (t) => {
  const { state } = steps(standby(), attempt(10));
  t.match(mayRequest(state, 'adopt-disk'), { allowed: true });
  const asked = steps(state, [{ at: 20, kind: 'operatorRequested', action: 'adopt-disk', by: 'the serial line' }]);
  t.match(
    asked.commands.filter((c) => c.kind !== 'say' && c.kind !== 'armWatchdog'),
    [{ kind: 'record', text: /operator asked at the serial line: Adopt the disk/ }, { kind: 'adoptDisk' }],
  );
  const failed = steps(asked.state, [{ at: 21, kind: 'commandFinished', command: 'adoptDisk', ok: false, reason: 'no such file' }]);
  t.match(attentionOf(failed.state), [{ kind: 'diskRefused' }]);
  const done = steps(asked.state, [
    { at: 21, kind: 'commandFinished', command: 'adoptDisk', ok: true, reason: '' },
    { at: 22, kind: 'tick' },
  ]);
  t.same(attentionOf(done.state), []);
  t.ok(
    done.commands.some((c) => c.kind === 'openTarget'),
    'no pause',
  );
});
