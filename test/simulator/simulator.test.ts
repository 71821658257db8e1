// Many lives of a pair on the real core, and the proof that the checkers find faults: every mutant must be caught.
import t from 'tap';
import { MUTANTS } from './mutants.ts';
import { runSeed } from './scenario.ts';

const SEEDS = 12_000;
/** Enough to catch every mutant here; `npm run sim -- --mutants` goes to 20,000. */
const MUTANT_SEEDS = 6_000;

t.test(`${SEEDS} seeds hold every invariant, and duplex returns by itself`, async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violation, needed } = runSeed(seed);
    if (violation !== null) failed.push(`seed ${seed}: ${violation} (npm run sim -- --seed ${seed})`);
    else if (needed) failed.push(`seed ${seed}: the operator had to use force (npm run sim -- --seed ${seed})`);
  }
  t.same(failed, []);
});

for (const mutant of MUTANTS) {
  t.test(`caught: ${mutant.name}`, async (t) => {
    let caught = 0;
    for (let seed = 1; seed <= MUTANT_SEEDS && !caught; seed++) {
      const { violation } = runSeed(seed, mutant);
      if (violation !== null && mutant.because?.test(violation) !== false) caught = seed;
    }
    t.ok(caught, `caught by seed ${caught}`);
  });
}

t.test('a seed replays to the same story', async (t) => {
  for (const seed of [7, 8, 9]) {
    const { story, steps } = runSeed(seed, undefined, true);
    t.same(runSeed(seed, undefined, true).story, story);
    t.equal(runSeed(seed).steps, steps, 'and without keeping the story');
  }
});
