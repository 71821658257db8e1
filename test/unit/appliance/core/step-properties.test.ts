// step() under any events in any order, also such as no runtime would send: what must be true of every step from every state.
import fc from 'fast-check';
import t from 'tap';
import {
  ARBITERS,
  type Command,
  type DurableRecord,
  type Event,
  FRESH_RECORD,
  initialState,
  type PartnerStatus,
  type PhaseKind,
  type Standing,
  type State,
  type StateOptions,
  statusOf,
  step,
} from '../../../../appliance/core/machine.ts';
import { ACTIONS } from '../../../../appliance/core/requests.ts';
import { PHASES, STANDINGS } from '../../../../appliance/wire/partner-status.ts';
import { someFault } from '../some-fault.ts';

const RUNS = 3_000;
const EVENTS_PER_RUN = 60;

/** What a CoServer may not run on, by itself or by anybody's grant. */
const UNFIT: Standing[] = ['fresh', 'outdated', 'inconsistent'];
const STARTS: Command['kind'][] = ['startGuest', 'adoptGuest', 'takeOver', 'continueAlone'];

type NewEvent = Event extends infer E ? (E extends Event ? Omit<E, 'at'> : never) : never;
/** A move in the life of this CoServer. `good`: whether what is asked just then goes well. */
type Move =
  | { kind: 'event'; event: NewEvent; afterMs: number }
  /** What the core waits for happens: its background command ends, its arbiter answers, the partner takes the next step. */
  | { kind: 'expected'; good: boolean; afterMs: number };

const record = fc.record<DurableRecord>({
  generation: fc.integer({ min: 0, max: 5 }),
  standing: fc.constantFrom(...STANDINGS),
  arbiter: fc.constantFrom(...ARBITERS),
  workloadOff: fc.boolean(),
  wasPrimary: fc.boolean(),
  pinnedMode: fc.constantFrom(null, 'lockstep' as const, 'passive' as const),
  forced: fc.boolean(),
  maintenance: fc.boolean(),
  keep: fc.constantFrom(null, 1, 2),
});

const status = fc.record<PartnerStatus>({
  coServer: fc.constant('B'),
  incarnation: fc.constantFrom('b1', 'b2'),
  record,
  phase: fc.constantFrom(...PHASES),
  revision: fc.integer({ min: 0, max: 9 }),
  version: fc.constantFrom('1', '2'),
  pairId: fc.constantFrom('p', 'q'),
  proved: fc.boolean(),
  asksYield: fc.boolean(),
  arbiters: fc.record({ witness: fc.boolean(), fence: fc.boolean() }),
  wish: fc.option(fc.record({ arbiter: fc.constantFrom(...ARBITERS), number: fc.integer({ min: 0, max: 3 }) })),
  wishSeen: fc.integer({ min: 0, max: 3 }),
  power: fc.constantFrom('mains' as const, 'battery' as const, 'low' as const),
  businessUp: fc.boolean(),
  needsNic: fc.boolean(),
  yieldRow: fc.constantFrom(null, '12', '16', '17', '27', '28'),
  diskFailed: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  compatibleVersions: fc.constant([]),
  level: fc.constantFrom(2 as const, 3 as const),
  leaseMs: fc.constantFrom(0, 3_500),
  restarting: fc.boolean(),
  faults: fc.constantFrom([], [{ code: 'fanFailed', where: 'FAN1' }], [{ code: 'unheardOf', where: '' }]),
});

const COMMANDS: Command['kind'][] = [
  'stopAll',
  'takeOver',
  'continueAlone',
  'abandonPartner',
  'startGuest',
  'resync',
  'protect',
  'releaseReady',
  'openTarget',
  'openIncoming',
  'confirmCopy',
  'leaveLockstep',
  'shutDownGuest',
  'fence',
  'keepHistory',
  'armWatchdog',
  'adoptGuest',
  'adoptDisk',
  'endProcess',
];
const reason = fc.constantFrom('', 'because');
const event: fc.Arbitrary<NewEvent> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<NewEvent>({ kind: 'tick' }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('linkObserved' as const),
      link: fc.integer({ min: 0, max: 2 }),
      up: fc.boolean(),
      silentMs: fc.constant(300),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('partnerSaid' as const),
      status,
      path: fc.constantFrom('link' as const, 'management' as const),
    }),
  },
  fc.constant<NewEvent>({ kind: 'partnerRestarted' }),
  fc.record({ kind: fc.constant('otherPathObserved' as const), up: fc.boolean() }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('arbiterAnswered' as const),
      generation: fc.integer({ min: 0, max: 6 }),
      answer: fc.constantFrom('granted' as const, 'refused' as const, 'unreachable' as const, 'unconfirmed' as const),
      reason,
    }),
  },
  fc.record({ kind: fc.constant('witnessObserved' as const), usable: fc.boolean(), reason }),
  fc.record({ kind: fc.constant('fencePathObserved' as const), proven: fc.boolean(), reason }),
  fc.record({
    kind: fc.constant('streamLost' as const),
    stream: fc.constantFrom('memory' as const, 'disk' as const, 'network' as const),
    cause: fc.constantFrom('engine' as const, 'protocol' as const, 'channel' as const, 'stalled' as const, 'stopped' as const),
    byPartner: fc.boolean(),
    reason,
  }),
  fc.constant<NewEvent>({ kind: 'readyHeld' }),
  fc.constant<NewEvent>({ kind: 'intervalsStarted' }),
  fc.record({
    kind: fc.constant('engineExited' as const),
    cause: fc.constantFrom('guestShutdown' as const, 'guestPanic' as const, 'crash' as const),
    reason,
  }),
  fc.record({
    kind: fc.constant('probed' as const),
    probe: fc.constant('arp'),
    outcome: fc.constantFrom('answered' as const, 'missing' as const, 'different' as const, 'silent' as const),
    interval: fc.integer({ min: 0, max: 3 }),
    detail: reason,
  }),
  fc.constant<NewEvent>({ kind: 'replicaPanicked', reason: 'panic' }),
  fc.constant<NewEvent>({ kind: 'pageDiffered', detail: 'page 1' }),
  fc.record({ kind: fc.constant('comparisonObserved' as const), agreed: fc.nat(9), waited: fc.nat(9), asked: fc.nat(40) }),
  fc.constantFrom<NewEvent>(
    { kind: 'diskFailed', reason: 'EIO' },
    { kind: 'diskJudged', refusal: null },
    { kind: 'diskJudged', refusal: 'the disk is not there' },
  ),
  fc.record({
    kind: fc.constant('blockUnreadable' as const),
    offset: fc.nat(9),
    side: fc.constantFrom('own' as const, 'partner' as const),
  }),
  fc.record({
    kind: fc.constant('copiesDiffer' as const),
    offset: fc.nat(9),
    fits: fc.constantFrom('own' as const, 'partner' as const, 'neither' as const),
  }),
  fc.record({
    kind: fc.constant('copiesObserved' as const),
    scrubbing: fc.boolean(),
    quarantined: fc.uniqueArray(fc.constantFrom(0, 4096, 8192), { maxLength: 2 }),
  }),
  fc.record({
    kind: fc.constant('faultsObserved' as const),
    faults: fc.constantFrom(
      [],
      [someFault('fanSlow', 'FAN1')],
      [someFault('diskFailing', '/dev/sda')],
      [someFault('memoryUncorrected', 'DIMM 3')],
    ),
  }),
  fc.record({
    kind: fc.constant('qualificationJudged' as const),
    qualification: fc.option(
      fc.record({
        verdict: fc.constantFrom('passed' as const, 'refused' as const, 'unknown' as const),
        sentence: fc.constant('the same'),
      }),
    ),
  }),
  fc.record({ kind: fc.constant('businessNicObserved' as const), up: fc.boolean() }),
  fc.record({ kind: fc.constant('upsObserved' as const), onBattery: fc.boolean(), low: fc.boolean() }),
  fc.record({ kind: fc.constant('lateTick' as const), lateMs: fc.nat(9_000) }),
  fc.constant<NewEvent>({ kind: 'clockJumped', byMs: -5_000 }),
  fc.constant<NewEvent>({ kind: 'stopRequested' }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('operatorRequested' as const),
      action: fc.constantFrom(...ACTIONS.map((a) => a.name), 'keep-own-block-4096', 'keep-partner-block-0', 'nonsense'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('commandFinished' as const),
      command: fc.constantFrom(...COMMANDS),
      ok: fc.boolean(),
      reason,
    }),
  },
);

const afterMs = fc.oneof({ weight: 6, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.constantFrom(1_000, 5_000, 20_000, 70_000) });
const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('expected' as const), good: fc.integer({ min: 0, max: 9 }).map((n) => n > 0), afterMs }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('event' as const), event, afterMs }) },
);

const life = fc.record({
  record: fc.oneof({ weight: 2, arbitrary: fc.constant(FRESH_RECORD) }, record),
  adoptable: fc.boolean(),
  canCompare: fc.boolean(),
  arbiters: fc.record({ witness: fc.boolean(), fence: fc.boolean() }),
  level: fc.constantFrom(2 as const, 3 as const),
  moves: fc.array(move, { minLength: 10, maxLength: EVENTS_PER_RUN }),
});

type Life = typeof life extends fc.Arbitrary<infer L> ? L : never;

interface Taken {
  before: State;
  event: Event;
  after: State;
  commands: Command[];
}

/** What the core waits for in this state: a partner and an arbiter that cooperate, or just do not. */
function expected(s: State, good: boolean): NewEvent {
  const { phase, record: own } = s;
  const partnerIs = (kind: PhaseKind, change: Partial<DurableRecord>): NewEvent => ({
    kind: 'partnerSaid',
    path: 'link',
    status: {
      ...statusOf(s),
      coServer: 'B',
      incarnation: 'b1',
      revision: 1_000 + s.revision,
      phase: kind,
      record: { ...own, ...change },
      asksYield: false,
      arbiters: { witness: true, fence: true },
      wish: null,
      power: 'mains',
      businessUp: true,
      yieldRow: null,
      restarting: false,
      diskFailed: false,
    },
  });
  if (!s.links[0]?.up) return { kind: 'linkObserved', link: 0, up: true, silentMs: 0 };
  if (phase.busy) return { kind: 'commandFinished', command: phase.busy, ok: good, reason: '' };
  const shared = own.standing === 'duplexSecondary' ? 'duplexPrimary' : 'duplexSecondary';
  switch (phase.kind) {
    case 'claiming':
      if (phase.claim?.by === 'fence') return { kind: 'commandFinished', command: 'fence', ok: good, reason: '' };
      return { kind: 'arbiterAnswered', generation: own.generation, answer: good ? 'granted' : 'refused', reason: '' };
    case 'acting':
      return { kind: 'commandFinished', command: 'stopAll', ok: good, reason: '' };
    case 'isolated':
      return partnerIs('standby', { standing: 'outdated' });
    case 'running':
      return partnerIs('standby', { standing: 'outdated' });
    case 'resyncing':
      return partnerIs('target', { standing: 'inconsistent' });
    case 'protecting':
      return s.partner?.phase === 'incoming' ? { kind: 'readyHeld' } : partnerIs('incoming', { standing: 'inconsistent' });
    case 'committing':
      return partnerIs(s.level === 2 ? 'secondary' : 'ready', { standing: 'duplexSecondary' });
    case 'duplex':
      return good
        ? { kind: 'probed', probe: 'arp', outcome: 'answered', interval: 2, detail: '' }
        : { kind: 'linkObserved', link: 0, up: false, silentMs: 300 };
    case 'standby':
      if (s.diskFailed !== null) return { kind: 'operatorRequested', action: 'try-disk' };
      return partnerIs('resyncing', { standing: 'simplex' });
    case 'target':
      return s.level === 2 ? partnerIs('committing', { standing: 'duplexPrimary' }) : partnerIs('protecting', { standing: 'simplex' });
    case 'incoming':
      return phase.note.startsWith('holds') ? partnerIs('committing', { standing: 'duplexPrimary' }) : { kind: 'readyHeld' };
    case 'ready':
      return { kind: 'intervalsStarted' };
    case 'secondary':
      return good ? partnerIs('duplex', { standing: shared }) : { kind: 'linkObserved', link: 0, up: false, silentMs: 300 };
    case 'off':
    case 'failed':
    case 'frozen':
      return { kind: 'operatorRequested', action: 'start-guest' };
    default:
      return { kind: 'tick' };
  }
}

function live(l: Life): Taken[] {
  const options: StateOptions = { me: 'A', incarnation: 'a1', pairId: 'p', version: '1', links: 2, now: 0, ...l };
  let state = initialState(options);
  let now = 0;
  return l.moves.map((m) => {
    now += m.afterMs;
    const next = { ...(m.kind === 'event' ? m.event : expected(state, m.good)), at: now } as Event;
    const { state: after, commands } = step(state, next);
    const taken: Taken = { before: state, event: next, after, commands };
    state = after;
    return taken;
  });
}

/** Checked for every step of every life: a sentence where it does not hold, null where it does. */
const RULES: Record<string, (taken: Taken) => string | null> = {
  'generations never shrink': ({ before, commands }) => {
    let { generation } = before.record;
    for (const c of commands) {
      if (c.kind !== 'persist') continue;
      if (c.record.generation < generation) return `${c.record.generation} after ${generation}`;
      generation = c.record.generation;
    }
    return null;
  },
  'the record that counts is on disk before the guest runs on it': ({ before, after, commands }) => {
    const last = commands.findLast((c) => c.kind === 'persist');
    if (!last && JSON.stringify(before.record) !== JSON.stringify(after.record)) return 'the record changed without persist';
    const begins = commands.findIndex((c) => STARTS.includes(c.kind));
    if (begins < 0) return null;
    if (last && commands.indexOf(last) > begins) return 'persist stands behind the start';
    return null;
  },
  'nothing runs from a copy that is outdated, inconsistent or new': ({ after, commands }) =>
    commands.some((c) => STARTS.includes(c.kind)) && UNFIT.includes(after.record.standing) ? `started as ${after.record.standing}` : null,
  'who runs alone, runs as the simplex owner of this generation': ({ after, commands }) => {
    const begins = commands.find((c) => c.kind === 'takeOver' || c.kind === 'continueAlone' || c.kind === 'startGuest');
    if (begins === undefined || !('generation' in begins)) return null;
    if (after.record.standing !== 'simplex') return `as ${after.record.standing}`;
    return begins.generation === after.record.generation ? null : `generation ${begins.generation} of ${after.record.generation}`;
  },
  'output is withheld before anything is asked or given up': ({ before, after, commands }) => {
    const wasShared = before.phase.kind === 'duplex' || before.phase.kind === 'secondary';
    if (!wasShared || (after.phase.kind !== 'claiming' && after.phase.kind !== 'acting')) return null;
    const held = commands.findIndex((c) => c.kind === 'freeze');
    const { generation, standing } = before.record;
    const isAct = (c: Command) =>
      c.kind === 'persist'
        ? c.record.generation !== generation || c.record.standing !== standing
        : c.kind === 'claim' || c.kind === 'fence' || STARTS.includes(c.kind);
    const acts = commands.findIndex(isAct);
    return held >= 0 && (acts < 0 || held < acts) ? null : 'no freeze, or too late';
  },
  'every applied row carries its evidence': ({ commands }) =>
    commands.some((c) => c.kind === 'record' && c.row !== null && (c.evidence?.length ?? 0) < 4) ? 'none' : null,
  'the partner is told of every change of phase': ({ before, after, commands }) =>
    before.phase.kind !== after.phase.kind && !commands.some((c) => c.kind === 'say')
      ? `${before.phase.kind} -> ${after.phase.kind}`
      : null,
};

const phasesSeen = new Set<PhaseKind>();
const commandsSeen = new Set<Command['kind']>();

t.test(`${RUNS} lives: no step throws, and every rule holds`, async (t) => {
  let steps = 0;
  fc.assert(
    fc.property(life, (l) => {
      for (const taken of live(l)) {
        steps++;
        phasesSeen.add(taken.after.phase.kind);
        for (const c of taken.commands) commandsSeen.add(c.kind);
        for (const [name, rule] of Object.entries(RULES)) {
          const broken = rule(taken);
          if (broken !== null)
            throw new Error(
              `${name}: ${broken}\nin ${taken.before.phase.kind}, ${JSON.stringify(taken.event)}\n${JSON.stringify(taken.commands)}`,
            );
        }
      }
    }),
    { numRuns: RUNS },
  );
  t.pass(`${steps} steps`);
});

t.test('those lives reached every phase, and every way to run', async (t) => {
  t.same(
    PHASES.filter((p) => !phasesSeen.has(p)),
    [],
  );
  t.same(
    [...STARTS, 'fence', 'claim', 'resync', 'keepHistory'].filter((c) => !commandsSeen.has(c as Command['kind'])),
    [],
  );
});

t.test('the same events give the same, and the given state is not changed', async () => {
  fc.assert(
    fc.property(life, (l) => {
      const one = live(l);
      const before = one.map((taken) => JSON.stringify(taken.before));
      const two = live(l);
      return JSON.stringify(one) === JSON.stringify(two) && one.every((taken, i) => JSON.stringify(taken.before) === before[i]);
    }),
    { numRuns: RUNS / 10 },
  );
});

t.test('a tick that changed nothing but the time may be left out: the journal leaves it out', async () => {
  fc.assert(
    fc.property(life, (l) => {
      const taken = live(l);
      const mattered = taken.filter(
        ({ before, after, event: e, commands }) =>
          e.kind !== 'tick' ||
          commands.length > 0 ||
          (Object.keys(after) as (keyof State)[]).some((k) => k !== 'now' && before[k] !== after[k]),
      );
      const first = taken[0]?.before;
      const last = taken.at(-1)?.after;
      if (!first || !last) return true;
      const replayed = mattered.reduce((s, { event: e }) => step(s, e).state, first);
      return JSON.stringify({ ...replayed, now: 0 }) === JSON.stringify({ ...last, now: 0 });
    }),
    { numRuns: RUNS / 3 },
  );
});
