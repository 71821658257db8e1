// `npm run lab:kills -- N`: starts a pair of its own, causes N power failures with clients at work, prints what the clients
// noticed and keeps the report and the evidence of every failure under test/results/.
import { readFileSync } from 'node:fs';
import { LabError, messageOf } from '../lab/lab-error.ts';
import { type CampaignFlags, type CampaignOrder, runCampaignCommand, say } from './campaign-command.ts';
import { progressText, runIncidents, runKills, summaryTable } from './kills-campaign.ts';
import type { Report } from './report.ts';

interface KillsFlags extends CampaignFlags {
  mode?: string;
  minutes?: string;
  resume?: string;
  incidents?: boolean;
}

/** The report of a campaign that did not come to its end. */
function readEarlier(file: string): Report {
  let report: Partial<Report>;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new LabError(`--resume ${file}: ${messageOf(error)}`, 'give the report.json of a campaign');
  }
  if (report.format !== 'twinstep-campaign/1') throw new LabError(`${file} is not the report of a campaign`);
  return report as Report;
}

function killsOrder(count: number, flags: KillsFlags): CampaignOrder {
  const { mode } = flags;
  if (mode !== undefined && mode !== 'passive' && mode !== 'lockstep') throw new LabError(`--mode ${mode}`, 'give passive or lockstep');
  const minutes = flags.minutes === undefined ? Number.POSITIVE_INFINITY : Number(flags.minutes);
  if (!(minutes > 0)) throw new LabError(`--minutes ${flags.minutes}`, 'give the minutes after which no further round begins');
  const earlier = flags.resume === undefined ? undefined : readEarlier(flags.resume);
  return {
    resultsName: flags.incidents ? 'incidents' : 'kills',
    reportFile: flags.report ?? flags.resume,
    mode,
    run: ({ lab, clients, keep }) =>
      (flags.incidents ? runIncidents : runKills)({
        count,
        lab,
        clients,
        limitMs: minutes * 60_000,
        earlier,
        onRound: async (round, soFar) => {
          say(progressText(soFar, count, earlier?.rounds.length ?? 0));
          await keep(round, soFar);
        },
      }),
    tables: (report) => [summaryTable(report)],
  };
}

await runCampaignCommand({
  name: 'lab:kills',
  description: 'Power failures of the CoServers of a pair of its own, with clients at work.',
  defaultCount: 40,
  counted: 'power failures',
  example: 'npm run lab:kills -- 40',
  addFlags: (command) => {
    command
      .option('--mode <mode>', 'passive or lockstep; default: as TWINSTEP_MODE says, else passive')
      .option('--incidents', "break the secondary's guest in every way instead: the pair must find it and mend it by itself")
      .option('--minutes <n>', 'no further round begins after so long')
      .option('--resume <report.json>', 'go on behind the rounds of this report, on a new pair, and write it again');
  },
  order: killsOrder,
});
