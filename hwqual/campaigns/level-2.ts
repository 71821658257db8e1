// `npm run lab:level2 -- N [--arbiter witness|fence|hold]`: starts a pair of its own at level 2 and lets its primary lose its power N times.
// Prints how long it took until the guest's engine ran on the other; every trial is kept as JSON under test/results/.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LabError } from '../lab/lab-error.ts';
import { type CampaignFlags, runCommandLine, say, withOwnLab } from './campaign-command.ts';
import { systemClock } from './clock.ts';
import { ARBITERS, level2Table, runLevel2 } from './level-2-campaign.ts';
import { RESULTS_FOLDER, resultsName } from './results.ts';

interface Level2Flags extends CampaignFlags {
  arbiter: string;
}

await runCommandLine<Level2Flags>({
  name: 'lab:level2',
  description: 'Level 2: the primary loses its power; how soon the guest is started on the other CoServer.',
  defaultCount: 10,
  counted: 'trials',
  example: 'npm run lab:level2 -- 10',
  addFlags: (command) => {
    command.option('--arbiter <name>', 'witness: its consent; fence: by the BMC alone; hold: neither answers at first', 'witness');
  },
  run: (count, flags) => {
    const arbiter = ARBITERS.find((name) => name === flags.arbiter);
    if (arbiter === undefined) throw new LabError(`--arbiter ${flags.arbiter}`, `give ${ARBITERS.join(', ')}`);
    return withOwnLab(flags, { level: 2 }, async ({ lab }) => {
      const file = flags.report ?? join(RESULTS_FOLDER, resultsName('level-2', Date.now()), 'report.json');
      const report = await runLevel2({
        count,
        arbiter,
        lab,
        clock: systemClock,
        onTrial: ({ trial, lost, restartMs, steps, problems }) =>
          say(
            `trial ${trial} of ${count}: ${lost} lost, the engine runs after ${Math.round(restartMs ?? Number.NaN)} ms (${steps.map(({ step, atMs }) => `${step} ${Math.round(atMs)}`).join(', ')})${problems.length > 0 ? `; ${problems.join('; ')}` : ''}`,
          ),
      });
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `${JSON.stringify(report, null, 1)}\n`);
      process.stdout.write(`\n${level2Table(report)}\n\nreport ${file}\n`);
      return report.ok ? 0 : 1;
    });
  },
});
