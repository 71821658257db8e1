// `npm run lab:links -- N`: starts a pair of its own and cuts both links N times (default 100). Prints how long it took until one
// of the two ran alone; every trial is kept as JSON under test/results/.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runCommandLine, say, withOwnLab } from './campaign-command.ts';
import { systemClock } from './clock.ts';
import { linksDownTable, runLinksDown } from './links-down-campaign.ts';
import { RESULTS_FOLDER, resultsName } from './results.ts';

await runCommandLine({
  name: 'lab:links',
  description: 'Both links cut at once, many times: exactly one CoServer runs on, and how soon.',
  defaultCount: 100,
  counted: 'trials',
  example: 'npm run lab:links -- 100',
  run: (count, flags) =>
    withOwnLab(flags, {}, async ({ lab }) => {
      const file = flags.report ?? join(RESULTS_FOLDER, resultsName('links-down', Date.now()), 'report.json');
      const report = await runLinksDown({
        count,
        lab,
        clock: systemClock,
        onTrial: (t) =>
          say(
            `trial ${t.trial} of ${count}: ${t.winner} (${t.kind}, row ${t.row}) noticed after ${Math.round(t.noticedMs)} ms, runs alone after ${Math.round(t.simplexMs)} ms${t.problems.length > 0 ? `; ${t.problems.join('; ')}` : ''}`,
          ),
      });
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `${JSON.stringify(report, null, 1)}\n`);
      process.stdout.write(`\n${linksDownTable(report)}\n\nreport ${file}\n`);
      return report.ok ? 0 : 1;
    }),
});
