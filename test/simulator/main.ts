// npm run sim -- --seeds N [--seed S] [--mutants] [--jobs J]: many lives of a pair; a failing seed prints how to see its story.
import { Command, InvalidArgumentError } from 'commander';
import { campaign } from './campaign.ts';
import { MUTANTS } from './mutants.ts';
import { runSeed } from './scenario.ts';

/** More would hide the first. */
const FAILURES_SHOWN = 20;
const MUTANT_SEEDS = 20_000;

const program = new Command('npm run sim --')
  .description('Many lives of a simulated pair on the real core. Every invariant is checked in each.')
  .option('--seeds <n>', 'how many seeds', whole, 2_000)
  .option('--first <s>', 'the first seed', whole, 1)
  .option('--jobs <j>', 'worker threads; each seed stays in one', whole, 1)
  .option('--seed <s>', 'one seed, with its story', whole)
  .option('--mutant <name>', 'with --seed: under this mutant')
  .option('--mutants', `for every mutant, the first seed that catches it (at most ${MUTANT_SEEDS} tried)`)
  .parse();
const o = program.opts<{ seeds: number; first: number; jobs: number; seed?: number; mutant?: string; mutants?: boolean }>();

if (o.seed !== undefined) story(o.seed, o.mutant);
else if (o.mutants) await mutants();
else await seeds();

function whole(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('a whole number from 1 is needed');
  return n;
}

function story(seed: number, name: string | undefined): void {
  const mutant = name === undefined ? undefined : MUTANTS.find((m) => m.name === name);
  if (name !== undefined && !mutant) {
    console.error(`There is no mutant '${name}'. There are:\n${MUTANTS.map((m) => `  ${m.name}`).join('\n')}`);
    process.exitCode = 1;
    return;
  }
  const { story, violation } = runSeed(seed, mutant, true);
  console.log(story.join('\n'));
  console.log(violation === null ? `seed ${seed}: all invariants held` : `seed ${seed}: ${violation}`);
  process.exitCode = violation === null ? 0 : 1;
}

async function mutants(): Promise<void> {
  for (const { name } of MUTANTS) {
    const { failures } = await campaign({ first: o.first, count: MUTANT_SEEDS, jobs: o.jobs, mutant: name, stopAfter: 1 });
    const caught = failures[0];
    console.log(`${caught ? `caught by seed ${caught.seed}`.padEnd(22) : 'MISSED                '}${name}`);
    if (caught) console.log(`        ${caught.violation}\n        npm run sim -- --seed ${caught.seed} --mutant "${name}"`);
    else process.exitCode = 1;
  }
}

async function seeds(): Promise<void> {
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  const total = await campaign({
    first: o.first,
    count: o.seeds,
    jobs: o.jobs,
    stopAfter: FAILURES_SHOWN,
    onFailure: ({ seed, violation }) => console.log(`seed ${seed}: ${violation}\n  npm run sim -- --seed ${seed}`),
    onProgress: (done) => console.log(`${done} of ${o.seeds} seeds, ${seconds().toFixed(0)} s`),
  });
  const lines = Object.entries(total.counts).sort(([a], [b]) => a.localeCompare(b));
  for (const [what, n] of lines) console.log(`${String(n).padStart(12)}  ${what}`);
  const s = seconds();
  console.log(
    `${total.done} seeds in ${s.toFixed(1)} s (${Math.round(total.done / s)} a second), ${total.faults} faults, ${total.steps} steps, ${Math.round(total.simulatedMs / 3_600_000)} h simulated`,
  );
  console.log(`${total.done - total.failures.length} passed, ${total.failures.length} failed`);
  process.exitCode = total.failures.length > 0 ? 1 : 0;
}
