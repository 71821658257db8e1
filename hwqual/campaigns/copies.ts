// `npm run lab:copies`: does what is said of the two copies on pairs of its own (copies-campaign.ts) and prints what was found; the
// report is kept as JSON under test/results/. Three pairs, one after the other: the second past the page cache, the third with every
// write durable by itself.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DiskUse } from '../lab/configuration.ts';
import { type CampaignFlags, runCommandLine, say, withOwnLab } from './campaign-command.ts';
import { systemClock } from './clock.ts';
import { CopiesRun, type CopiesStep, type Work } from './copies-campaign.ts';
import { GuestLoadConnection } from './guest-load.ts';
import { RESULTS_FOLDER, resultsName } from './results.ts';

interface CopiesFlags extends CampaignFlags {
  only?: string;
}

const DUPLEX_WITHIN_S = 180;

interface Part {
  disk: DiskUse;
  steps: readonly { name: string; work: (run: CopiesRun) => Work }[];
}

const PARTS: readonly Part[] = [
  {
    disk: { cache: 'buffered', durability: 'flushed' },
    steps: [
      { name: 'trim', work: (run) => run.trim },
      { name: 'trim during an outage', work: (run) => run.trimDuringOutage },
      { name: "another pair's disk", work: (run) => run.adopt('otherPair', /belongs to another pair/) },
      { name: 'another disk', work: (run) => run.adopt('otherDisk', /is not the one that was here/) },
      { name: 'shrunk disk', work: (run) => run.shrunk },
    ],
  },
  {
    disk: { cache: 'direct', durability: 'flushed' },
    steps: [{ name: 'direct', work: (run) => run.powerFailures(true) }],
  },
  {
    disk: { cache: 'buffered', durability: 'write-through' },
    steps: [{ name: 'write-through', work: (run) => run.powerFailures(false) }],
  },
];

async function run(rounds: number, flags: CopiesFlags): Promise<number> {
  const file = flags.report ?? join(RESULTS_FOLDER, resultsName('copies', Date.now()), 'report.json');
  const steps: CopiesStep[] = [];
  const only = flags.only ?? '';
  for (let round = 0; round < rounds; round++)
    for (const part of PARTS) {
      const asked = part.steps.filter(({ name }) => name.includes(only));
      if (asked.length === 0) continue;
      await withOwnLab(flags, { load: 'fio', disk: part.disk }, async ({ lab, wasInterrupted }) => {
        await lab.waitDuplex(DUPLEX_WITHIN_S);
        const load = new GuestLoadConnection((command) => lab.spawnLan(command));
        const run = new CopiesRun({ lab, load, clock: systemClock });
        for (const { name, work } of asked) {
          if (wasInterrupted()) break;
          say(name);
          const done = await run.step(name, work(run));
          steps.push(done);
          for (const line of done.found) say(`  ${line}`);
          for (const line of done.problems) say(`  PROBLEM ${line}`);
          await mkdir(dirname(file), { recursive: true });
          await writeFile(file, `${JSON.stringify(steps, null, 1)}\n`);
          if (done.problems.length > 0) break;
        }
        await load.close();
      });
      if (steps.some(({ problems }) => problems.length > 0)) break;
    }
  const failed = steps.filter(({ problems }) => problems.length > 0);
  for (const { name, durationMs, problems } of steps)
    process.stdout.write(`  ${name.padEnd(26)}${Math.round(durationMs / 1000)} s  ${problems.length === 0 ? 'ok' : problems.join('; ')}\n`);
  process.stdout.write(`report ${file}\n`);
  return failed.length === 0 && steps.length > 0 ? 0 : 1;
}

await runCommandLine<CopiesFlags>({
  name: 'lab:copies',
  description: 'Trims, swapped and shrunk disks, O_DIRECT and write-through on pairs of its own; copies compared and checked after each.',
  defaultCount: 1,
  counted: 'rounds',
  example: 'npm run lab:copies',
  addFlags: (command) => {
    command.option('--only <text>', 'only steps whose names contain this: trim, disk, direct, write-through');
  },
  run,
});
