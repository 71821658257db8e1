// Deliberate faults of the mirror: one for each of its rules, and a few more of the orders in which things become durable. `because`
// is what a checker says of it: caught for another reason is not caught.

import { type Step, step } from '../../../appliance/core/machine.ts';
import type { CopyRecord } from '../../../appliance/core/mirror.ts';
import type { MirrorOrder, MirrorStep } from '../../../appliance/core/mirror-orders.ts';
import type { Mutant } from '../world.ts';

const DIFFERENT = /are recorded as equal/;
const LOST = /was acknowledged|was told|were flushed|without it|which never failed/;

/** The real order, with each of its steps replaced. */
function* replaced(order: MirrorOrder<unknown>, change: (step: MirrorStep) => readonly MirrorStep[]): MirrorOrder<unknown> {
  let answer: number | undefined;
  for (;;) {
    const { done, value } = order.next(answer);
    if (done) return undefined;
    answer = undefined;
    const steps = value.kind === 'all' ? [{ ...value, steps: value.steps.flatMap(change) }] : change(value);
    for (const other of steps) answer = yield other;
  }
}

function without(name: string, isLeftOut: (step: MirrorStep) => boolean, because: RegExp): Mutant {
  return { name, because, flaws: { orders: (order) => replaced(order, (s) => (isLeftOut(s) ? [] : [s])) } };
}

const ANY: CopyRecord = { pair: '', current: '', base: null, history: [], inconsistent: false };
const saysInconsistent = (s: MirrorStep): boolean => s.kind === 'record' && s.change(ANY).inconsistent;

/** goAlone, the other way round. */
function* released(order: MirrorOrder<unknown>): MirrorOrder<unknown> {
  const first = order.next();
  if (first.done) return undefined;
  const second = order.next();
  if (!second.done && second.value.kind === 'release') {
    yield second.value;
    yield first.value;
    return undefined;
  }
  yield first.value;
  for (let at = second; !at.done; ) at = order.next(yield at.value);
  return undefined;
}

/** A step, and the one behind it, the other way round. */
function* swapped(order: MirrorOrder<unknown>, first: (step: MirrorStep) => boolean, second: MirrorStep['kind']): MirrorOrder<unknown> {
  const list: MirrorStep[] = [];
  let answer: number | undefined;
  for (;;) {
    const { done, value } = order.next(answer);
    if (done) break;
    answer = undefined;
    if (list.length === 0 && first(value)) {
      list.push(value);
      continue;
    }
    answer = yield value;
    if (value.kind === second) for (const held of list.splice(0)) yield held;
  }
  for (const held of list) yield held;
  return undefined;
}

/** Where a copy goes on alone, only the generation that the partner is most likely at is kept. */
function withoutHistory(s: MirrorStep): MirrorStep {
  if (s.kind !== 'record') return s;
  return {
    kind: 'record',
    change: (r) => {
      const next = s.change(r);
      const isAlone = next.current !== r.current && next.base !== null;
      return isAlone ? { ...next, history: next.base === null ? [] : [next.base] } : next;
    },
  };
}

/** What a restart asks for counts as granted at once. */
function granted(state: Parameters<typeof step>[0], event: Parameters<typeof step>[1]): Step {
  const result = step(state, event);
  const { phase } = result.state;
  if (phase.kind !== 'claiming' || phase.claim?.goal !== 'start') return result;
  const claim = { ...phase.claim, by: 'none' as const, asked: false, askAt: 0 };
  const next = step({ ...result.state, phase: { ...phase, claim } }, { kind: 'tick', at: event.at });
  return { state: next.state, commands: [...result.commands.filter((c) => c.kind !== 'claim'), ...next.commands] };
}

export const MIRROR_MUTANTS: Mutant[] = [
  {
    name: 'mirror 1: no region log: a write goes out before its extent is durably suspect',
    because: DIFFERENT,
    flaws: { mirror: 'no region log' },
  },
  { name: 'mirror 2: a write is acknowledged before both have it', because: LOST, flaws: { mirror: 'acknowledged before both have it' } },
  {
    name: 'mirror 3: what the partner has not flushed is forgotten',
    because: DIFFERENT,
    flaws: { mirror: 'what the partner has not flushed is forgotten' },
  },
  {
    name: 'mirror 4a: new writes are not held while it is undecided who may run',
    because: LOST,
    flaws: { mirror: 'new writes are not held' },
  },
  {
    name: 'mirror 4b: writes are released before the new generation is durable',
    because: /its generation is not on its disk yet/,
    flaws: { orders: (order) => released(order) },
  },
  {
    name: 'mirror 5: no history of generations',
    because: /both copies know what they missed/,
    flaws: { orders: (order) => replaced(order, (s) => [withoutHistory(s)]) },
  },
  { name: 'mirror 6: a resync does not lock what it copies', because: DIFFERENT, flaws: { mirror: 'no extent lock in a resync' } },
  {
    name: "mirror 7a: a CoServer that restarts alone serves without the arbiter's consent",
    because: LOST,
    step: granted,
  },
  {
    name: 'mirror 7b: a primary that was refused does not keep its log',
    because: DIFFERENT,
    flaws: { mirror: 'a primary that was refused forgets its log' },
  },
  without('mirror: a copy that is being made equal does not say so', saysInconsistent, /does not say so/),
  without('mirror: what a takeover merges is not suspect', (s) => s.kind === 'suspect', DIFFERENT),
  without('mirror: the own disk is not flushed before extents are forgotten', (s) => s.kind === 'flush', DIFFERENT),
  {
    name: 'mirror: the source is together before the target has recorded that it is equal',
    because: /./,
    flaws: { orders: (order) => swapped(order, (s) => s.kind === 'askSynced', 'record') },
  },
  {
    name: 'mirror: the journal of a copy that starts is replayed up to the last commit only',
    because: /were flushed/,
    flaws: { mirror: 'replay to the last commit' },
  },
];
