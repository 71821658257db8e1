// Who may take a new server in: only who owns the guest's generation, alone, with a partner that is heard nowhere. And what the consoles show.
import t from 'tap';
import { FRESH_RECORD, initialState, type State } from '../../../../appliance/core/machine.ts';
import type { PairingView } from '../../../../appliance/pairing/view.ts';
import {
  ACCEPT,
  replacementActions,
  replacementAttention,
  type WindowFacts,
  whyNotReplace,
} from '../../../../appliance/replacement/window.ts';
import { WITNESS_KEY_ACTION } from '../../../../appliance/runtime/witness-key.ts';

function owner(change: (s: State) => Partial<State> = () => ({})): State {
  const begun = initialState({
    me: 'A',
    incarnation: 'aa',
    pairId: '3c'.repeat(16),
    version: '0.1.0',
    record: { ...FRESH_RECORD, generation: 7, standing: 'simplex' },
    links: 2,
    now: 0,
    adoptable: false,
    canCompare: true,
  });
  const state: State = { ...begun, phase: { ...begun.phase, kind: 'running' } };
  return { ...state, ...change(state) };
}

const CLOSED: WindowFacts = { stage: 'closed', leftMs: 0, view: null, problems: [] };
const VIEW: PairingView = {
  coServer: 'A',
  pairId: '3c'.repeat(16),
  phase: 'code',
  code: '123456',
  sentence: 'This CoServer shows the code 123456. Look at the console of CoServer B: confirm only if it shows the same.',
  trouble: "CoServer B has a key that this one does not have: run 'twinstep pair --again' there.",
  fingerprint: null,
  partnerDone: false,
  dropped: [],
};

t.test('only the owner of the generation, and only for one that is gone', async (t) => {
  t.equal(whyNotReplace(owner()), null);
  t.equal(whyNotReplace(owner((s) => ({ phase: { ...s.phase, kind: 'off' } }))), null);
  t.match(whyNotReplace(owner(() => ({ partnerHeard: true }))), /CoServer B is heard/);
  t.match(whyNotReplace(owner(() => ({ otherPathUp: true }))), /over the management network: it lives/);
  for (const standing of ['duplexPrimary', 'duplexSecondary', 'outdated', 'inconsistent', 'fresh'] as const)
    t.match(whyNotReplace(owner((s) => ({ record: { ...s.record, standing } }))), /start here by force first/, standing);
  for (const kind of ['isolated', 'claiming', 'starting', 'acting', 'diverged', 'frozen', 'failed', 'resyncing', 'duplex'] as const)
    t.not(whyNotReplace(owner((s) => ({ phase: { ...s.phase, kind } }))), null, kind);
  t.match(whyNotReplace(owner((s) => ({ record: { ...s.record, maintenance: true } }))), /maintenance/);
});

t.test('what may be asked', async (t) => {
  const [accept] = replacementActions(CLOSED, owner());
  t.match(accept, { name: ACCEPT, allowed: true, typed: { word: 'off', meaning: /what only it has written is lost/ } });
  const [refused] = replacementActions(
    CLOSED,
    owner(() => ({ partnerHeard: true })),
  );
  t.match(refused, { allowed: false, reason: /is heard/ });
  const open = replacementActions({ ...CLOSED, stage: 'open', view: VIEW }, owner());
  t.strictSame(
    open.map((a) => [a.name, a.allowed]),
    [
      [ACCEPT, false],
      ['confirm-replacement-123456', true],
      ['replacement-codes-differ', true],
      ['end-replacement', true],
    ],
  );
  for (const { name } of open) t.match(name, /^[a-z][a-zA-Z0-9-]{0,63}$/, 'the API takes it');
  t.strictSame(
    replacementActions({ ...CLOSED, stage: 'open', view: { ...VIEW, phase: 'confirmed' } }, owner()).map((a) => a.name),
    [ACCEPT, 'end-replacement'],
    'confirmed once',
  );
  t.strictSame(replacementActions({ ...CLOSED, stage: 'telling' }, owner())[0]?.allowed, true, 'the new one may be lost, too');
});

t.test('what is shown: every way to go is among the actions', async (t) => {
  t.strictSame(replacementAttention(CLOSED, owner()), []);
  for (const stage of ['open', 'agreed', 'committed', 'telling'] as const) {
    const facts = { ...CLOSED, stage, view: stage === 'open' ? VIEW : null, leftMs: 60_000 };
    const names = [WITNESS_KEY_ACTION, ...replacementActions(facts, owner()).map((a) => a.name)];
    const [shown] = replacementAttention(facts, owner());
    for (const way of shown?.ways ?? []) t.ok(way.action !== null && names.includes(way.action), `${stage}: ${way.action}`);
  }
  const [open] = replacementAttention({ ...CLOSED, stage: 'open', view: VIEW, problems: ['link2: no carrier'] }, owner());
  t.match(open?.sentence, /123456\. Look at the new server's screen/);
  t.match(open?.sentence, /answer 'Pair anew' with yes on its page 'pairing'/);
  t.match(open?.sentence, /Link link2: no carrier\./);
});
