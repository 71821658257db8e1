// Deliberate faults of the core and of what it orders. A simulator that does not find every one of them proves nothing.
import { type Command, step } from '../../appliance/core/machine.ts';
import { decideClaim } from '../../appliance/core/witness.ts';
import type { Mutant } from './world.ts';

/** The real step, with its commands changed. */
function commands(name: string, change: (commands: Command[]) => Command[]): Mutant {
  return {
    name,
    step: (state, event) => {
      const result = step(state, event);
      return { ...result, commands: change(result.commands) };
    },
  };
}

export const MUTANTS: Mutant[] = [
  {
    name: 'no witness: every claim is granted',
    decideClaim: (group, c) => decideClaim({ ...group, memory: null, confirmed: true }, c),
  },
  {
    name: 'the witness does not compare the generation',
    decideClaim: (group, c) => {
      const { memory } = group;
      return decideClaim({ ...group, memory: memory && { ...memory, generation: Math.min(memory.generation, c.generation) } }, c);
    },
  },
  { name: 'output leaves before the partner committed', gateDoesNotHold: true },
  {
    name: 'an unreachable witness counts as a grant',
    step: (state, event) =>
      step(state, event.kind === 'arbiterAnswered' && event.answer === 'unreachable' ? { ...event, answer: 'granted' } : event),
  },
  {
    name: 'a refusal counts as a grant',
    step: (state, event) =>
      step(state, event.kind === 'arbiterAnswered' && event.answer === 'refused' ? { ...event, answer: 'granted' } : event),
  },
  commands('an outdated copy is recorded as the secondary of a duplex pair', (list) =>
    list.map((c) =>
      c.kind === 'persist' && c.record.standing === 'outdated' ? { ...c, record: { ...c.record, standing: 'duplexSecondary' } } : c,
    ),
  ),
  commands('a copy that is being made equal is recorded as equal', (list) =>
    list.map((c) =>
      c.kind === 'persist' && c.record.standing === 'inconsistent' ? { ...c, record: { ...c.record, standing: 'duplexSecondary' } } : c,
    ),
  ),
  commands('the primary does not record duplex', (list) =>
    list.filter((c) => !(c.kind === 'persist' && c.record.standing === 'duplexPrimary')),
  ),
  {
    name: 'an answer in the first interval counts as proof',
    step: (state, event) => step(state, event.kind === 'probed' ? { ...event, interval: Math.max(2, event.interval) } : event),
  },
  {
    name: 'a missing answer counts as an answer',
    step: (state, event) => step(state, event.kind === 'probed' && event.outcome === 'missing' ? { ...event, outcome: 'answered' } : event),
  },
  commands('nothing is recorded before going on alone', (list) =>
    list.filter((c) => !(c.kind === 'persist' && c.record.standing === 'simplex')),
  ),
];
