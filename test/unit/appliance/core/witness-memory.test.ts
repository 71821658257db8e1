// No generation runs on both CoServers, whatever the witness forgets: random walks over a small model of a pair. Each mutant of
// the rules must be found by the same walks.
import t from 'tap';
import { decideClaim, decideReport, type WitnessGroup, witnessStart } from '../../../../appliance/core/witness.ts';
import { RULES, type Rules, WitnessWorld } from './witness-world.ts';

const WALKS = 50_000;
const STEPS = 200;

/** The first walk that goes wrong. */
function search(rules: Rules, walks: number): { seed: number; violation: string; story: string[] } | null {
  for (let seed = 1; seed <= walks; seed++) {
    const world = new WitnessWorld(seed, rules);
    for (let i = 0; i < STEPS && world.violation === null; i++) world.step();
    if (world.violation === null) world.settle();
    if (world.violation !== null) return { seed, violation: world.violation, story: world.story };
  }
  return null;
}

t.test('no generation runs on both, and nobody waits for ever', async (t) => {
  const found = search(RULES, WALKS);
  t.notOk(found, found ? `seed ${found.seed}: ${found.violation}\n${found.story.join('\n')}` : 'no walk goes wrong');
  let ran = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const world = new WitnessWorld(seed, RULES);
    for (let i = 0; i < STEPS; i++) world.step();
    ran += world.owners.size;
  }
  t.ok(ran > 200, `the walks are not idle: ${ran} generations ran in 200 of them`);
});

const trusted = (group: WitnessGroup): WitnessGroup => ({ ...group, confirmed: true });
const MUTANTS: Record<string, Partial<Rules>> = {
  'a restart with a memory counts as confirmed': {
    witnessStart: (memory, id) => (memory ? trusted(witnessStart(memory, id)) : witnessStart(memory, id)),
  },
  'a witness without memory counts as confirmed': {
    witnessStart: (memory, id) => (memory ? witnessStart(memory, id) : trusted(witnessStart(memory, id))),
  },
  'an unconfirmed witness says an old grant again': {
    decideClaim: (group, claim) => {
      const { memory } = group;
      const isOwn = memory?.owner === claim.claimant && memory.generation === claim.generation + 1;
      return decideClaim(isOwn ? trusted(group) : group, claim);
    },
  },
  'an unconfirmed witness grants': { decideClaim: (group, claim) => decideClaim(trusted(group), claim) },
  'one CoServer in duplex confirms': {
    decideReport: (group, r) => {
      const done = decideReport(group, r);
      const { generation } = r;
      if (done.group.confirmed || r.state !== 'duplex' || (group.memory?.generation ?? 0) > generation) return done;
      return { group: { ...trusted(done.group), memory: { generation, owner: null, counter: 1 } }, changed: true };
    },
  },
  'a report with a claim under way counts': {
    decideReport: (group, r) => decideReport(group, r.state === 'other' ? { ...r, state: 'duplex' } : r),
  },
  'a report below the memory confirms': {
    decideReport: (group, r) => {
      const done = decideReport({ ...group, memory: null }, r);
      return done.group.confirmed ? done : decideReport(group, r);
    },
  },
  'the lower of two generations is taken': {
    decideReport: (group, r) => {
      const other = group.reports[r.coServer === 'A' ? 'B' : 'A'];
      const lower = r.state === 'duplex' && other?.state === 'stopped' ? Math.min(r.generation, other.generation) : r.generation;
      return decideReport(group, { ...r, generation: lower });
    },
  },
  'marks are not compared': {
    decideReport: (group, r) => decideReport(group, { ...r, seen: null }),
    decideClaim: (group, claim) => decideClaim(group, { ...claim, seen: null }),
  },
  'stale reports count after lost time': {
    decideReport: (group, r) => {
      const lost = decideReport({ ...group, reports: {} }, { ...r, state: 'other' }).group;
      const { seen: _seen, ...rest } = r;
      return group.confirmed && !lost.confirmed
        ? decideReport({ ...lost, reports: { ...group.reports } }, { ...rest, seen: null })
        : decideReport(group, r);
    },
  },
  'the generation is not compared': {
    decideClaim: (group, claim) => decideClaim({ ...group, memory: group.memory && { ...group.memory, generation: 0 } }, claim),
  },
  'an owner is granted its generation twice over': {
    decideClaim: (group, claim) => decideClaim({ ...group, memory: group.memory && { ...group.memory, owner: claim.claimant } }, claim),
  },
};

for (const [name, rules] of Object.entries(MUTANTS))
  t.test(`found: ${name}`, async (t) => {
    const found = search({ ...RULES, ...rules }, WALKS);
    t.ok(found, found ? `seed ${found.seed}: ${found.violation}` : 'not found');
  });
