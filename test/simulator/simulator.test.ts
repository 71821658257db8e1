// Many lives of a pair on the real core, and the proof that the checkers find faults: every mutant must be caught.
import t from 'tap';
import { MUTANTS } from './mutants.ts';
import { runSeed } from './scenario.ts';

const SEEDS = 800;
/** Enough to catch every mutant here; `npm run sim -- --mutants` goes to 20,000. */
const MUTANT_SEEDS = 6_000;

t.test(`${SEEDS} seeds hold every invariant, and duplex returns`, async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violation } = runSeed(seed);
    if (violation) failed.push(`seed ${seed}: ${violation} (npm run sim -- --seed ${seed})`);
  }
  t.same(failed, []);
});

for (const mutant of MUTANTS) {
  t.test(`caught: ${mutant.name}`, async (t) => {
    let caught = 0;
    for (let seed = 1; seed <= MUTANT_SEEDS && !caught; seed++) if (runSeed(seed, mutant).violation) caught = seed;
    t.ok(caught, `caught by seed ${caught}`);
  });
}

t.test('a seed replays to the same story', async (t) => {
  t.same(runSeed(7, undefined, true).story, runSeed(7, undefined, true).story);
});
