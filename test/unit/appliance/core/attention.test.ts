// What the operator reads when something needs him, made of states that the core itself reached.
import t from 'tap';
import { arbiterView } from '../../../../appliance/core/arbiter-view.ts';
import { attentionOf, sameName } from '../../../../appliance/core/attention.ts';
import {
  type DurableRecord,
  type Event,
  FRESH_RECORD,
  initialState,
  type PartnerStatus,
  type State,
  statusOf,
  step,
} from '../../../../appliance/core/machine.ts';
import { pictureOf } from '../../../../appliance/core/picture.ts';
import { ACTIONS, mayRequest } from '../../../../appliance/core/requests.ts';
import { someFault } from '../some-fault.ts';
import { duplexState, steps } from './duplex-state.ts';

const LOST: Event[] = [
  { at: 1_000, kind: 'linkObserved', link: 0, up: false, silentMs: 400 },
  { at: 1_000, kind: 'linkObserved', link: 1, up: false, silentMs: 400 },
];

const bothUp = (s: State): State => ({ ...s, links: s.links.map(() => ({ up: true, since: 0 })), partnerHeard: true });

function duplexWith(change: Partial<State> = {}): State {
  return bothUp(duplexState({ witness: { configured: true, ok: true, since: 0, reason: '' }, ...change }));
}

function restarted(record: Partial<DurableRecord>): State {
  return initialState({
    me: 'A',
    incarnation: 'a2',
    pairId: 'p',
    version: '1',
    record: { ...FRESH_RECORD, ...record },
    links: 2,
    now: 0,
    adoptable: false,
    canCompare: true,
  });
}

function partner(record: Partial<DurableRecord>, more: Partial<PartnerStatus> = {}): PartnerStatus {
  const b = { ...restarted(record), me: 'B' as const, incarnation: 'b1' };
  return { ...statusOf(b), phase: 'standby', revision: 9, ...more };
}

const said = (at: number, status: PartnerStatus): Event => ({ at, kind: 'partnerSaid', status, path: 'link' });

/** Every way that names an action names one that exists; those that are offered are possible. */
function offered(t: { ok: (value: unknown, message: string) => unknown }, s: State): string[] {
  return attentionOf(s).flatMap((a) =>
    a.ways.flatMap(({ action }) => {
      if (action === null) return [];
      t.ok(
        ACTIONS.some((known) => known.name === action),
        action,
      );
      return mayRequest(s, action).allowed ? [action] : [];
    }),
  );
}

t.test('all is well: nothing to say', async (t) => {
  t.strictSame(attentionOf(duplexWith()), []);
  t.strictSame(attentionOf(restarted({})), []);
});

t.test('partner and witness lost: frozen, what ends it, and the way out that may cost', async (t) => {
  const { state } = steps(duplexWith(), [
    ...LOST,
    { at: 1_000, kind: 'witnessObserved', usable: false, reason: 'no route' },
    { at: 1_600, kind: 'arbiterAnswered', generation: 1, answer: 'unreachable', reason: 'no route' },
  ]);
  const [found, ...others] = attentionOf(state);
  t.strictSame(others, []);
  t.match(found, {
    kind: 'frozen',
    severity: 'critical',
    row: '7w',
    sentence: /B is not heard, and the witness does not help \(no route\)\. The guest is kept as it is/,
    endsWhen: ['CoServer B is heard again', 'the witness answers'],
  });
  t.strictSame(offered(t, state), ['force-start']);
  t.match(pictureOf(state), { redundancy: 'isolated', workloadState: 'held', workloadSentence: /Frozen/ });
  t.match(arbiterView(state), { applies: true, kind: 'witness', sentence: /the witness decides/, witness: { usable: false } });
  t.strictSame(attentionOf(steps(duplexWith(), LOST).state), [], 'held for a moment is not frozen');
});

t.test('only the other one may go on alone, or it cannot be switched off for certain', async (t) => {
  const record = { ...FRESH_RECORD, generation: 1, standing: 'duplexPrimary' } as const;
  const { state: named } = steps(duplexWith({ record: { ...record, arbiter: 'namedB' } }), LOST);
  t.match(attentionOf(named), [{ kind: 'frozen', row: '6n', sentence: /it is the one that may go on by itself/, endsWhen: { length: 1 } }]);
  t.match(arbiterView(named), { kind: 'named', named: 'B', sentence: /only CoServer B may go on by itself/ });
  t.match(pictureOf(named).redundancySentence, /Frozen: CoServer B is the one/);
  const asked = steps(duplexWith({ record: { ...record, arbiter: 'fence' } }), [...LOST, { at: 1_100, kind: 'tick' }]).state;
  if (!asked.phase.claim) throw new Error('it claims');
  const fence: State = { ...asked, phase: { ...asked.phase, claim: { ...asked.phase.claim, unreachableSince: 9_000 } } };
  t.match(attentionOf(fence), [{ kind: 'frozen', row: '7', endsWhen: ['CoServer B is heard again', /B is verified off/] }]);
  t.strictSame(offered(t, fence), ['force-start']);
});

t.test('back alone, and the other may have gone on: not started', async (t) => {
  const { state } = steps(restarted({ generation: 3, standing: 'duplexSecondary', arbiter: 'namedB' }), [{ at: 5_000, kind: 'tick' }]);
  t.match(attentionOf(state), [{ kind: 'notStarted', row: '23', sentence: /The guest is not started\./ }]);
  t.strictSame(offered(t, state), ['force-start']);
});

t.test('the only good copy fails: mended it goes on, or the older one elsewhere', async (t) => {
  const alone = duplexWith({
    record: { ...FRESH_RECORD, generation: 2, standing: 'simplex' },
    phase: { kind: 'running', since: 0, busy: null, claim: null, next: null, note: '' },
  });
  const { state } = step(alone, { at: 10, kind: 'diskFailed', reason: 'read at 4096: EIO' });
  t.match(attentionOf(state), [{ kind: 'diskFailed', row: '26', sentence: /read at 4096: EIO/, endsWhen: [] }]);
  t.strictSame(offered(t, state), ['start-guest']);
  t.match(pictureOf(state), { workloadState: 'held', redundancySentence: /^Frozen/ });
  t.equal(pictureOf(state).coServers[0]?.role, 'primary', 'it owns the workload');
});

t.test('two histories: both numbers, and which action chooses which', async (t) => {
  const { state } = steps(restarted({ generation: 4, standing: 'simplex', forced: true }), [
    { at: 10, kind: 'linkObserved', link: 0, up: true, silentMs: 0 },
    said(20, partner({ generation: 5, standing: 'simplex' }, { phase: 'running' })),
  ]);
  t.equal(state.phase.kind, 'diverged');
  t.match(attentionOf(state), [
    { kind: 'diverged', row: '25', sentence: /A wrote generation 4, CoServer B generation 5.*runs on B meanwhile/ },
  ]);
  t.strictSame(offered(t, state), ['give-up-history']);
  t.match(pictureOf(state).redundancySentence, /^Two histories: the workload does not run on A\./);
  const running = { ...state, phase: { ...state.phase, kind: 'running' as const } };
  t.match(attentionOf(running)[0]?.sentence, /Both run now: clients reach either\.$/);
  t.match(pictureOf(running).redundancySentence, /^Two histories: the workload runs on A, and B has another one\./);
});

t.test('an older copy waits; an unwhole one has no way but the partner', async (t) => {
  const alone = (standing: DurableRecord['standing']) => steps(restarted({ generation: 4, standing }), [{ at: 10, kind: 'tick' }]).state;
  t.match(attentionOf(alone('outdated')), [{ kind: 'waiting', severity: 'warning', endsWhen: ['CoServer B is heard again'] }]);
  t.strictSame(offered(t, alone('outdated')), ['force-older-copy']);
  t.match(attentionOf(alone('inconsistent')), [{ kind: 'waiting', ways: [] }]);
});

t.test('forced, kept out, out for maintenance, no mains, early signs, a dead network, other software', async (t) => {
  const running = duplexWith({
    record: { ...FRESH_RECORD, generation: 2, standing: 'simplex', forced: true },
    phase: { kind: 'running', since: 0, busy: null, claim: null, next: null, note: '' },
  });
  t.match(attentionOf(running), [{ kind: 'forced', severity: 'warning' }]);
  t.equal(pictureOf(running).coServers[0]?.forced, true);
  const calm = { ...running, record: { ...running.record, forced: false } };
  const keptOut = { ...calm, quarantinedUntil: 7_200_000, now: 1_000 };
  t.match(attentionOf(keptOut), [{ kind: 'quarantined', row: '24', leftMs: 7_199_000 }]);
  t.strictSame(offered(t, keptOut), ['let-rejoin']);
  t.match(pictureOf(keptOut).redundancySentence, /B is kept out/);
  const out = steps(restarted({ generation: 2, standing: 'outdated', maintenance: true }), [{ at: 1, kind: 'tick' }]).state;
  t.match(attentionOf(out), [{ kind: 'maintenance', severity: 'info', row: '28' }]);
  t.strictSame(offered(t, out), ['end-maintenance']);
  const theirs = { ...calm, partner: partner({ generation: 2, standing: 'outdated', maintenance: true }) };
  t.match(attentionOf(theirs), [{ kind: 'maintenance', title: /CoServer B/ }]);
  t.match(pictureOf(theirs), { redundancySentence: /B is out for maintenance/, coServers: { 1: { maintenance: true } } });
  t.match(attentionOf({ ...calm, power: 'battery', partner: partner({}, { power: 'mains' }) }), [{ kind: 'power', severity: 'warning' }]);
  t.match(attentionOf({ ...calm, power: 'battery', partner: partner({}, { power: 'low' }) }), [
    { kind: 'power', severity: 'critical', title: 'CoServer A and B (nearly empty) on battery' },
  ]);
  t.match(attentionOf({ ...calm, faults: [someFault('fanSlow', 'fan 2')] }), [
    {
      kind: 'hardware',
      row: '16',
      title: 'CoServer A: a fan turns slower and slower',
      sentence: /^fan 2: .*[^.]\.$/,
      endsWhen: ['no reading has shown it for 60 s'],
      ways: [
        { text: 'Replace the fan.', action: null },
        { text: 'To replace the part, take this CoServer out:', action: 'enter-maintenance' },
      ],
    },
  ]);
  t.match(attentionOf({ ...calm, faults: [someFault('diskWorn', '/dev/sda')] }), [
    { row: null, endsWhen: ['the next reading of it is well'], ways: [{ text: 'Order another one.', action: null }] },
  ]);
  const told = (code: string, where: string) => attentionOf({ ...calm, partner: partner({}, { faults: [{ code, where }] }) });
  t.match(told('diskFailing', '/dev/sda (ST4000, serial Z1)'), [
    {
      kind: 'hardware',
      severity: 'critical',
      row: '12',
      title: 'CoServer B: a disk says that it has failed',
      sentence: '/dev/sda (ST4000, serial Z1). What was read there is on the console of CoServer B.',
      ways: [{ text: 'Replace the disk.', action: null }],
    },
  ]);
  t.match(told('gremlins', ''), [
    { severity: 'warning', row: null, title: 'CoServer B: a fault that this release does not know (gremlins)', ways: [] },
  ]);
  t.match(attentionOf({ ...calm, businessUp: false }), [{ kind: 'network', row: '13', title: /dead on CoServer A$/ }]);
  t.match(attentionOf({ ...calm, toldVersion: '2', partner: partner({}, { version: '2' }) }), [{ kind: 'version', row: '29' }]);
  t.strictSame(
    attentionOf({ ...calm, businessUp: false, power: 'battery', partner: partner({}, { power: 'mains' }) }).map((a) => a.severity),
    ['critical', 'warning'],
    'the most severe first',
  );
});

t.test('the arbiter: who decides, what is known on both sides, what both are changing over to', async (t) => {
  const s = { ...duplexWith(), partner: partner({ generation: 1, standing: 'duplexSecondary' }, { phase: 'secondary' }), now: 20_000 };
  t.match(arbiterView({ ...s, fence: { configured: true, ok: false, since: 15_000, reason: 'no answer' } }), {
    applies: true,
    kind: 'witness',
    named: null,
    sentence: 'If the partner is lost now: the witness decides who goes on.',
    changingTo: null,
    witness: { configured: true, usable: true, sinceMs: 20_000 },
    fencePath: { configured: true, proven: false, reason: 'no answer', sinceMs: 5_000 },
    partnerWitness: false,
    partnerFencePath: false,
  });
  const lost = { ...s, witness: { configured: true, ok: false, since: 0, reason: 'gone' } };
  t.equal(arbiterView(lost).changingTo, 'named');
  t.match(arbiterView({ ...s, partner: null, record: { ...s.record, standing: 'simplex' } }), { applies: false, partnerWitness: null });
  const named = { ...s, record: { ...s.record, arbiter: 'namedA' as const }, audit: { ...s.audit, state: 'proven' as const } };
  t.match(pictureOf(named).redundancySentence, 'Duplex: if B fails now, clients notice nothing; if A fails, the other one freezes.');
  t.match(
    pictureOf({ ...named, record: { ...named.record, arbiter: 'fence' } }).singlePoints.join(),
    /partner's way to the management controller here/,
  );
});

t.test('blocks in quarantine: which, what the guest gets, and what can be done', (t) => {
  const one = duplexWith({ quarantined: [8192] });
  t.match(attentionOf(one), [
    {
      kind: 'block',
      severity: 'critical',
      row: '15',
      title: /^The block at byte 8192 of the disk is not served/,
      sentence: /I\/O error .* on both CoServers the same/,
      endsWhen: ['the guest overwrites it as a whole'],
    },
  ]);
  t.match(attentionOf(one)[0]?.ways[0], { text: /restore it from the guest's backup/, action: null });
  const four = duplexWith({ quarantined: [4096, 8192, 12288, 16384] });
  t.match(attentionOf(four), [{ title: /^4 blocks of the disk are not served.* The first is at byte 4096$/ }]);
  t.end();
});

t.test('two servers with one identity: named until the partner is heard', (t) => {
  const link = (frames: number, isUp = false) => ({ isUp, frames });
  t.match(sameName('A', [link(12), link(3)]), [
    {
      kind: 'network',
      severity: 'critical',
      title: 'Another server has the identity of this one',
      sentence: /^Over link 1 and link 2 comes what CoServer A of this same pair sends/,
      endsWhen: ['CoServer B is heard'],
      ways: [{ text: /^Switch the copy off/, action: null }],
    },
  ]);
  t.match(sameName('B', [link(0), link(1)]), [{ sentence: /^Over link 2 comes what CoServer B/ }]);
  t.strictSame(sameName('A', [link(0), link(0)]), []);
  t.strictSame(sameName('A', [link(12), link(0, true)]), [], 'they were before');
  t.end();
});
