// `npm run lab:restarts -- N`: starts a pair of its own and ends our process N times (default 52) under a guest that writes. Prints how
// long clients stood still; every trial is kept as JSON under test/results/. TWINSTEP_LEVEL chooses the protection level.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClientsProcess } from '../lab/clients/controller.ts';
import { type CampaignFlags, runCommandLine, say, withOwnLab } from './campaign-command.ts';
import { systemClock } from './clock.ts';
import { restartsTable, runRestarts, WAYS } from './restarts-campaign.ts';
import { RESULTS_FOLDER, resultsName } from './results.ts';

interface Flags extends CampaignFlags {
  way?: string;
}

/** What a guest's kernel says when its disk gave it an error. */
const DISK_TROUBLE = /I\/O error|EXT4-fs (error|warning)|Remounting filesystem/;

await runCommandLine<Flags>({
  name: 'lab:restarts',
  description: 'Our process ended and started again under a guest that writes: no error, nothing lost, and how long clients stood still.',
  defaultCount: 52,
  counted: 'restarts',
  example: 'npm run lab:restarts -- 52',
  addFlags: (command) => void command.option('--way <way>', `only one of: ${WAYS.join(', ')}`),
  run: (count, flags) =>
    withOwnLab(flags, {}, async ({ lab }) => {
      const ways = WAYS.filter((way) => flags.way === undefined || way === flags.way);
      const file = flags.report ?? join(RESULTS_FOLDER, resultsName('restarts', Date.now()), 'report.json');
      const clients = new ClientsProcess({
        spawn: (command) => lab.spawnLan(command),
        onIncident: (incident) => say(`client: ${JSON.stringify(incident)}`),
      });
      try {
        const report = await runRestarts({
          count,
          ways,
          lab,
          clients,
          clock: systemClock,
          onTrial: (t) =>
            say(
              `trial ${t.trial} of ${count}: ${t.way} (${t.coServer}), runs on ${t.before}${t.after === t.before ? '' : `, then on ${t.after}`}; writes stood still ${Math.round(t.recordGapMs)} ms, echo ${Math.round(t.echoGapMs)} ms, duplex after ${Math.round(t.duplexMs)} ms${t.problems.length > 0 ? `; ${t.problems.join('; ')}` : ''}`,
            ),
        });
        const trouble = await diskTrouble(lab.evidencePaths());
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, `${JSON.stringify({ ...report, diskTrouble: trouble }, null, 1)}\n`);
        process.stdout.write(`\n${restartsTable(report)}\n  disk errors on the guest's console: ${trouble.length}\n`);
        process.stdout.write(`${trouble.map((line) => `    ${line}\n`).join('')}\nreport ${file}\n`);
        return report.ok && trouble.length === 0 ? 0 : 1;
      } finally {
        await clients.close().catch(() => undefined);
      }
    }),
});

async function diskTrouble(folders: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(folders.map((folder) => readFile(join(folder, 'guest-console.log'), 'latin1').catch(() => '')));
  return texts.flatMap((text) => text.split('\n').filter((line) => DISK_TROUBLE.test(line)));
}
