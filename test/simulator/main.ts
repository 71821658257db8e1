// npm run sim -- --seeds N [--seed S] [--mutants]: many lives of a pair; a failing seed prints how to see its story.
import { Command } from 'commander';
import { MUTANTS } from './mutants.ts';
import { runSeed } from './scenario.ts';

const program = new Command('npm run sim --')
  .option('--seeds <n>', 'how many seeds', '2000')
  .option('--seed <s>', 'one seed, with its story')
  .option('--first <s>', 'the first seed', '1')
  .option('--mutants', 'find, for every mutant, a seed that catches it (at most 20,000 tried)')
  .option('--mutant <name>', 'with --seed: the story under this mutant')
  .parse();
const o = program.opts<{ seeds: string; seed?: string; first: string; mutants?: boolean; mutant?: string }>();

if (o.seed !== undefined) {
  const mutant = o.mutant === undefined ? undefined : MUTANTS.find((m) => m.name === o.mutant);
  const outcome = runSeed(Number(o.seed), mutant, true);
  console.log(outcome.story.join('\n'));
  console.log(outcome.violation ? `seed ${o.seed}: ${outcome.violation}` : `seed ${o.seed}: all invariants held`);
  process.exitCode = outcome.violation ? 1 : 0;
}
