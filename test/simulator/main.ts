// npm run sim -- --seeds N [--seed S] [--mutants]: many lives of a pair; a failing seed prints how to see its story.
import { Command } from 'commander';
import { MUTANTS } from './mutants.ts';
import { runSeed } from './scenario.ts';

const program = new Command('npm run sim --')
  .option('--seeds <n>', 'how many seeds', '2000')
  .option('--seed <s>', 'one seed, with its story')
  .option('--first <s>', 'the first seed', '1')
  .option('--mutants', 'find, for every mutant, a seed that catches it (at most 20,000 tried)')
  .parse();
const o = program.opts<{ seeds: string; seed?: string; first: string; mutants?: boolean }>();

if (o.seed !== undefined) {
  const outcome = runSeed(Number(o.seed), undefined, true);
  console.log(outcome.story.join('\n'));
  console.log(outcome.violation ? `seed ${o.seed}: ${outcome.violation}` : `seed ${o.seed}: all invariants held`);
  process.exitCode = outcome.violation ? 1 : 0;
} else if (o.mutants) {
  for (const mutant of MUTANTS) {
    let caught: string | null = null;
    for (let seed = 1; seed <= 20_000 && !caught; seed++) {
      const { violation } = runSeed(seed, mutant);
      if (violation) caught = `seed ${seed}: ${violation}`;
    }
    console.log(`${caught ? 'caught' : 'MISSED'}  ${mutant.name}${caught ? `\n        ${caught}` : ''}`);
    if (!caught) process.exitCode = 1;
  }
} else {
  const first = Number(o.first);
  const count = Number(o.seeds);
  const began = performance.now();
  let failed = 0;
  for (let seed = first; seed < first + count; seed++) {
    const { violation } = runSeed(seed);
    if (violation) {
      failed++;
      console.log(`seed ${seed}: ${violation}\n  npm run sim -- --seed ${seed}`);
      if (failed >= 10) break;
    }
    if ((seed - first + 1) % 1000 === 0)
      console.log(`${seed - first + 1} of ${count} seeds, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
  console.log(`${count - failed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
}
