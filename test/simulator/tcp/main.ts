// npm run sim:tcp -- --seeds N | --seed S (its story) | --mutants: TCP through the lockstep gate, end to end.
import { Command } from 'commander';
import { HARMLESS, MUTANTS } from './mutants.ts';
import type { Gates } from './pair.ts';
import { LOCKSTEP } from './rules.ts';
import { runSeed } from './scenario.ts';
import { AT_ONCE, PASSIVE } from './stand-ins.ts';

const GATES: Record<string, Gates> = { lockstep: LOCKSTEP, passive: PASSIVE, 'at-once': AT_ONCE };

const program = new Command('npm run sim:tcp --')
  .option('--seeds <n>', 'how many seeds', '2000')
  .option('--seed <s>', 'one seed, with its story')
  .option('--first <s>', 'the first seed', '1')
  .option('--gate <name>', Object.keys(GATES).join(', '), 'lockstep')
  .option('--mutant <n>', 'with the n-th mutant (from 1)')
  .option('--mutants', 'find, for every mutant, a seed that catches it (of --seeds)')
  .option('--long', 'intervals of many seconds, failures late in them')
  .option('--ends', 'judge only by what the applications on both ends see')
  .parse();
const o = program.opts<{
  seeds: string;
  seed?: string;
  first: string;
  gate: string;
  mutant?: string;
  mutants?: boolean;
  ends?: boolean;
  long?: boolean;
}>();

const plain = GATES[o.gate];
if (!plain) throw new Error(`--gate ${o.gate}: one of ${Object.keys(GATES).join(', ')}`);
const mutant = o.mutant === undefined ? undefined : [...MUTANTS, ...HARMLESS][Number(o.mutant) - 1];
const gates = mutant ? mutant.around(plain) : plain;
const first = Number(o.first);
const count = Number(o.seeds);
const judging = { endsOnly: o.ends === true, longIntervals: o.long === true };

if (o.seed !== undefined) {
  const outcome = runSeed(Number(o.seed), gates, { keepStory: true, ...judging });
  console.log(outcome.story.join('\n'));
  console.log(outcome.counts);
  console.log(outcome.violation ? `seed ${o.seed}: ${outcome.violation}` : `seed ${o.seed}: all true`);
  process.exitCode = outcome.violation ? 1 : 0;
} else if (o.mutants) {
  for (const [i, m] of [...MUTANTS, ...HARMLESS].entries()) {
    let caught: string | null = null;
    for (let seed = first; seed < first + count && !caught; seed++) {
      const { violation } = runSeed(seed, m.around(plain), judging);
      // A seed that fails without the mutant proves nothing about it.
      if (violation && !runSeed(seed, plain, judging).violation) caught = `seed ${seed}: ${violation}`;
    }
    const good = (caught !== null) === i < MUTANTS.length;
    console.log(`${good ? '      ' : 'WRONG '}${caught ? 'caught    ' : 'not caught'}  ${m.name}${caught ? `\n        ${caught}` : ''}`);
    if (!good) process.exitCode = 1;
  }
} else {
  const began = performance.now();
  const sums: Record<string, number> = {};
  const failed: number[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const outcome = runSeed(seed, gates, judging);
    for (const [what, n] of [
      ...Object.entries(outcome.counts),
      ['takeovers', outcome.takeovers] as const,
      ['connections', outcome.tasks] as const,
    ])
      sums[what] = (sums[what] ?? 0) + n;
    if (outcome.violation) {
      failed.push(seed);
      console.log(`seed ${seed}: ${outcome.violation}`);
      if (failed.length >= 40) break;
    }
  }
  console.log(sums);
  console.log(`${count - failed.length} of ${count} passed, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (failed.length > 0) console.log(`see one with --seed ${failed[0]}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}
