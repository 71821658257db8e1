// Deliberate faults of the core, of the witness's rules, and of what surrounds them. A simulator that does not find every one of them
// proves nothing.
import {
  type Command,
  type DurableRecord,
  type Event,
  named,
  type PartnerStatus,
  type State,
  type Step,
  step,
} from '../../appliance/core/machine.ts';
import { decideClaim, decideReport, type WitnessGroup, witnessStart } from '../../appliance/core/witness.ts';
import { MIRROR_MUTANTS } from './mirror/mutants.ts';
import type { Mutant } from './world.ts';

/** The real step, fed with another event. */
function hears(name: string, change: (event: Event, state: State) => Event): Mutant {
  return { name, step: (state, event) => step(state, change(event, state)) };
}

/** The real step, on another state. */
function believes(name: string, change: (state: State, event: Event) => State): Mutant {
  return { name, step: (state, event) => step(change(state, event), event) };
}

/** The real step, with its commands changed. */
function orders(name: string, change: (commands: Command[], result: Step, before: State) => Command[]): Mutant {
  return {
    name,
    step: (state, event) => {
      const result = step(state, event);
      return { ...result, commands: change(result.commands, result, state) };
    },
  };
}

function status(event: Event, change: (status: PartnerStatus) => PartnerStatus): Event {
  return event.kind === 'partnerSaid' ? { ...event, status: change(event.status) } : event;
}

/** Another standing goes to disk, and is believed and said from there on. */
function records(name: string, from: DurableStanding, to: DurableStanding): Mutant {
  return {
    name,
    step: (state, event) => {
      const result = step(state, event);
      if (!result.commands.some((c) => c.kind === 'persist' && c.record.standing === from)) return result;
      const changed = new Map<DurableRecord, DurableRecord>();
      const other = (record: DurableRecord): DurableRecord => {
        const made = changed.get(record) ?? (record.standing === from ? { ...record, standing: to } : record);
        changed.set(record, made);
        return made;
      };
      return {
        state: { ...result.state, record: other(result.state.record) },
        commands: result.commands.map((c) => {
          if (c.kind === 'persist') return { ...c, record: other(c.record) };
          return c.kind === 'say' ? { ...c, status: { ...c.status, record: other(c.status.record) } } : c;
        }),
      };
    },
  };
}
type DurableStanding = State['record']['standing'];

const trusted = (group: WitnessGroup): WitnessGroup => ({ ...group, confirmed: true });

export const MUTANTS: Mutant[] = [
  // ---- the witness
  {
    name: 'no witness: every claim is granted',
    witness: { decideClaim: (group, c) => decideClaim({ ...group, memory: null, confirmed: true }, c) },
  },
  {
    name: 'the witness does not compare the generation',
    witness: {
      decideClaim: (group, c) => {
        const { memory } = group;
        return decideClaim({ ...group, memory: memory && { ...memory, generation: Math.min(memory.generation, c.generation) } }, c);
      },
    },
  },
  {
    name: 'a witness that restarted is trusted at once',
    witness: { witnessStart: (memory, id) => trusted(witnessStart(memory, id)) },
  },
  {
    name: 'one CoServer in duplex confirms the witness',
    witness: {
      decideReport: (group, r) => {
        const done = decideReport(group, r);
        const { generation } = r;
        if (done.group.confirmed || r.state !== 'duplex' || (group.memory?.generation ?? 0) > generation) return done;
        return { group: { ...trusted(done.group), memory: { generation, owner: null, counter: 1 } }, changed: true };
      },
    },
  },
  hears("the witness's 'unconfirmed' counts as a grant", (e) =>
    e.kind === 'arbiterAnswered' && e.answer === 'unconfirmed' ? { ...e, answer: 'granted' } : e,
  ),
  hears('an unreachable witness counts as a grant', (e) =>
    e.kind === 'arbiterAnswered' && e.answer === 'unreachable' ? { ...e, answer: 'granted' } : e,
  ),
  hears('a refusal counts as a grant', (e) => (e.kind === 'arbiterAnswered' && e.answer === 'refused' ? { ...e, answer: 'granted' } : e)),

  // ---- the record
  records('an outdated side may claim: it is recorded as secondary', 'outdated', 'duplexSecondary'),
  records('a copy that is being made equal is recorded as equal', 'inconsistent', 'duplexSecondary'),
  records('the primary does not record duplex', 'duplexPrimary', 'simplex'),
  orders('nothing is recorded before going on alone', (list) =>
    list.filter((c) => !(c.kind === 'persist' && c.record.standing === 'simplex')),
  ),
  { name: 'run before persist: nothing waits for the record', flaws: { persistIsNoBarrier: true } },
  orders('a yield is said before it is durable', (list) => {
    const said = list.find((c) => c.kind === 'say' && c.status.record.standing === 'outdated');
    return said ? [said, ...list.filter((c) => c !== said)] : list;
  }),

  // ---- output
  { name: 'output leaves before the partner committed', flaws: { gateDoesNotHold: true } },
  { name: 'new writes and output are not held while it is undecided who may run', flaws: { notHeldWhileDeciding: true } },
  { name: 'level 2: the lease is not waited for', timing: { leaseMs: 0 } },
  hears('a process that restarted takes its guest up without a grant', (e, { adoptable, phase, record }) =>
    e.kind === 'tick' && adoptable && phase.claim?.by === 'witness' && phase.claim.asked
      ? { at: e.at, kind: 'arbiterAnswered', generation: record.generation, answer: 'granted', reason: '' }
      : e,
  ),
  { name: 'the watchdog is never armed', flaws: { watchdogNotArmed: true } },

  // ---- the arbiters
  hears('mixed arbiters: the secondary moves to fence before the primary left the hub', (e, state) =>
    status(e, (said) => {
      const hub = named(said.coServer);
      const isAtHub = state.record.standing === 'duplexSecondary' && state.record.arbiter === hub && said.record.arbiter === hub;
      if (!isAtHub || !state.fence.ok) return said;
      return { ...said, wish: { arbiter: 'fence', number: said.wish?.number ?? 0 }, record: { ...said.record, arbiter: 'fence' } };
    }),
  ),
  hears("mixed arbiters: the primary does not wait for the secondary's answer", (e, state) =>
    status(e, (said) =>
      state.wish && state.wish.arbiter === named(state.me) && said.record.standing === 'duplexSecondary'
        ? { ...said, record: { ...said.record, arbiter: state.wish.arbiter }, wishSeen: state.wish.number }
        : said,
    ),
  ),
  hears('mixed arbiters: an answer to an earlier wish counts', (e, state) =>
    status(e, (said) => (state.wish ? { ...said, wishSeen: state.wish.number } : said)),
  ),
  hears('an unverified fence counts', (e) => (e.kind === 'commandFinished' && e.command === 'fence' ? { ...e, ok: true } : e)),
  { name: 'a fence counts without a look at the carrier', flaws: { carrierNotChecked: true } },
  believes('the CoServer that is not named goes on', (state) => {
    const { phase } = state;
    const isOther = state.record.arbiter === 'namedA' || state.record.arbiter === 'namedB';
    if (phase.claim?.by !== 'none' || phase.claim.goal === 'start' || !phase.claim.asked || !isOther) return state;
    return { ...state, phase: { ...phase, claim: { ...phase.claim, asked: false, askAt: 0 } } };
  }),
  believes('fence or named is used after a restart', (state) => {
    const { phase } = state;
    if (phase.claim?.by !== 'none' || phase.claim.goal !== 'start' || !phase.claim.asked) return state;
    return { ...state, phase: { ...phase, claim: { ...phase.claim, asked: false, askAt: 0 } } };
  }),

  // ---- the partner's word
  {
    name: "a late datagram of the partner's counts as its present word",
    step: (state, e) =>
      e.kind === 'partnerSaid' && e.path === 'management'
        ? step({ ...state, newest: null, pastIncarnations: [] }, { ...e, path: 'link' })
        : step(state, e),
  },
  believes('two histories are merged', (state) => {
    if (state.record.standing !== 'simplex' || state.partner?.record.standing !== 'simplex') return state;
    if (state.me === 'B' && state.phase.kind === 'diverged')
      return { ...state, record: { ...state.record, standing: 'outdated' }, phase: { ...state.phase, kind: 'standby' } };
    return state;
  }),
  believes('a partner that was lost too often joins at once', (state) => ({ ...state, quarantinedUntil: null })),

  // ---- the audit
  hears('an answer in the first interval counts as proof', (e) => (e.kind === 'probed' ? { ...e, interval: Math.max(2, e.interval) } : e)),
  hears('a missing answer counts as an answer', (e) =>
    e.kind === 'probed' && e.outcome === 'missing' ? { ...e, outcome: 'answered' } : e,
  ),

  ...MIRROR_MUTANTS,
];
