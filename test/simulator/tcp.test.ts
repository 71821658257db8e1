// TCP through the lockstep gate, end to end: many lives of a guest and its clients; and the proof that the judges see: a gate
// that holds everything passes, one that holds nothing fails, and every deliberate fault of the rules is found.
import t from 'tap';
import { MUTANTS } from './tcp/mutants.ts';
import type { Gates } from './tcp/pair.ts';
import { LOCKSTEP } from './tcp/rules.ts';
import { runSeed } from './tcp/scenario.ts';
import { AT_ONCE, PASSIVE } from './tcp/stand-ins.ts';

const SEEDS = 300;
const LONG_SEEDS = 80;
const STAND_IN_SEEDS = 60;
/** Enough to catch every mutant here; `node test/simulator/tcp/main.ts --mutants` goes on. */
const MUTANT_SEEDS = 400;

function failuresOf(gates: Gates, seeds: number, endsOnly = false): string[] {
  const failed: string[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const { violation } = runSeed(seed, gates, { endsOnly });
    if (violation) failed.push(`seed ${seed}: ${violation} (node test/simulator/tcp/main.ts --seed ${seed})`);
  }
  return failed;
}

t.test('everything held to its commit: all is true', async (t) => {
  t.same(failuresOf(PASSIVE, STAND_IN_SEEDS), []);
});

t.test('everything released at once: found', async (t) => {
  const failed = failuresOf(AT_ONCE, STAND_IN_SEEDS);
  t.ok(failed.length > STAND_IN_SEEDS / 2, `${failed.length} of ${STAND_IN_SEEDS} seeds`);
});

t.test('everything released at once: found by what the ends see alone', async (t) => {
  const failed = failuresOf(AT_ONCE, STAND_IN_SEEDS, true);
  t.ok(failed.length >= 4, `${failed.length} of ${STAND_IN_SEEDS} seeds`);
});

t.test(`lockstep: ${SEEDS} seeds, all is true`, async (t) => {
  t.same(failuresOf(LOCKSTEP, SEEDS), []);
});

t.test(`lockstep: ${LONG_SEEDS} seeds with intervals of many seconds`, async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= LONG_SEEDS; seed++) {
    const { violation } = runSeed(seed, LOCKSTEP, { longIntervals: true });
    if (violation) failed.push(`seed ${seed}: ${violation} (node test/simulator/tcp/main.ts --long --seed ${seed})`);
  }
  t.same(failed, []);
});

for (const mutant of MUTANTS) {
  t.test(`caught: ${mutant.name}`, async (t) => {
    const gates = mutant.around(LOCKSTEP);
    let caught = 0;
    // A seed that fails without the mutant proves nothing about it.
    for (let seed = 1; seed <= MUTANT_SEEDS && !caught; seed++) {
      if (runSeed(seed, gates).violation && !runSeed(seed, LOCKSTEP).violation) caught = seed;
    }
    t.ok(caught, `caught by seed ${caught}`);
  });
}

t.test('a seed replays to the same story', async (t) => {
  t.same(runSeed(7, LOCKSTEP, { keepStory: true }).story, runSeed(7, LOCKSTEP, { keepStory: true }).story);
});
