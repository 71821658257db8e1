// A business network that is dead on one CoServer (row 13): the other one lends its NIC, and takes the role when it can.
import t from 'tap';
import { type Command, type Event, type PhaseKind, type State, statusOf, step } from '../../../../appliance/core/machine.ts';
import { duplexState, steps } from './duplex-state.ts';

const tick = (at: number): Event => ({ at, kind: 'tick' });
const ways = (commands: readonly Command[]) => commands.flatMap((c) => (c.kind === 'redirectNetwork' ? [c.through] : []));
const lends = (commands: readonly Command[]) => commands.flatMap((c) => (c.kind === 'lendNetwork' ? [c.lend] : []));
const texts = (commands: readonly Command[]) => commands.flatMap((c) => (c.kind === 'record' && c.row === '13' ? [c.text] : []));

/** A, in this phase, with B heard: in standby unless said otherwise. */
function owner(kind: PhaseKind, change: Partial<State> = {}): State {
  const state = duplexState();
  const partner = { ...statusOf({ ...state, me: 'B', incarnation: 'b1' }), phase: 'standby' as const, version: 'other' };
  const simplex = kind === 'running' || kind === 'resyncing';
  return {
    ...state,
    record: { ...state.record, standing: simplex ? 'simplex' : 'duplexPrimary' },
    partner,
    phase: { ...state.phase, kind, busy: null },
    ...change,
  };
}

for (const kind of ['running', 'resyncing', 'protecting', 'committing', 'duplex'] as const)
  t.test(`dead here, alive there: over the partner's NIC, and back (${kind})`, async (t) => {
    const start = owner(kind);
    const phase = kind === 'protecting' || kind === 'resyncing' ? 'incoming' : 'standby';
    const dead = step(
      { ...start, partner: start.partner && { ...start.partner, phase } },
      { at: 1, kind: 'businessNicObserved', up: false },
    );
    t.same(ways(dead.commands), ['partner']);
    t.ok(dead.commands.some((c) => c.kind === 'say' && c.status.needsNic));
    t.match(texts(dead.commands), [/reached over the NIC of the partner/]);
    t.same(ways(steps(dead.state, [tick(2), tick(3)]).commands), [], 'once');
    const back = step(dead.state, { at: 4, kind: 'businessNicObserved', up: true });
    t.same(ways(back.commands), ['own']);
    t.match(texts(back.commands), [/of this CoServer again/]);
  });

t.test('nothing to redirect to: the partner is dead there too, or not heard', async (t) => {
  const start = owner('running');
  const deadToo = { ...start, partner: start.partner && { ...start.partner, businessUp: false } };
  t.same(ways(step(deadToo, { at: 1, kind: 'businessNicObserved', up: false }).commands), []);
  t.same(ways(step({ ...start, partner: null }, { at: 1, kind: 'businessNicObserved', up: false }).commands), []);
  const redirected = step(start, { at: 1, kind: 'businessNicObserved', up: false }).state;
  const lost = steps({ ...redirected, links: [{ up: true, since: 0 }] }, [
    { at: 2, kind: 'linkObserved', link: 0, up: false, silentMs: 400 },
  ]);
  t.same(ways(lost.commands), ['own'], 'it ends with the partner');
  t.match(texts(lost.commands), [/the partner is not heard/]);
});

t.test('while it is undecided who may run, the way stays as it was', async (t) => {
  const redirected = step(owner('duplex'), { at: 1, kind: 'businessNicObserved', up: false }).state;
  const claiming = steps(redirected, [
    { at: 2, kind: 'streamLost', stream: 'disk', cause: 'channel', byPartner: false, reason: 'it broke' },
    tick(3),
  ]);
  t.equal(claiming.state.phase.kind, 'claiming');
  t.same(ways(claiming.commands), []);
  t.same(ways(step(owner('claiming', { businessUp: true }), { at: 1, kind: 'businessNicObserved', up: false }).commands), [], 'nor begun');
});

for (const kind of ['standby', 'target', 'incoming', 'ready', 'secondary'] as const)
  t.test(`lends to a partner that asks, until it no longer does (${kind})`, async (t) => {
    const start = owner(kind, { me: 'B' });
    const asking = start.partner && { ...start.partner, phase: 'protecting' as const, needsNic: true };
    const lent = step({ ...start, partner: asking }, tick(1));
    t.same(lends(lent.commands), [true]);
    const { partner } = lent.state;
    const over = step({ ...lent.state, partner: partner && { ...partner, needsNic: false } }, tick(2));
    t.same(lends(over.commands), [false]);
  });

t.test('who runs the guest lends nothing', async (t) => {
  const start = owner('running');
  const asking = start.partner && { ...start.partner, needsNic: true };
  t.same(lends(step({ ...start, partner: asking }, tick(1)).commands), []);
});
