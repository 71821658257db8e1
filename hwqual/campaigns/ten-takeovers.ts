// `npm run lab:takeovers -- N`: starts a pair of its own and leads the same connections through N takeovers (default 10). Prints what
// the clients noticed; the report and the evidence of every failure are kept under test/results/.
import { runCampaignCommand, say } from './campaign-command.ts';
import { summaryTable } from './kills-campaign.ts';
import { runTakeovers, stallTable } from './ten-takeovers-campaign.ts';

await runCampaignCommand({
  name: 'lab:takeovers',
  description: 'The same connections through many takeovers of a pair of its own.',
  defaultCount: 10,
  counted: 'takeovers',
  example: 'npm run lab:takeovers -- 10',
  order: (count, flags) => ({
    resultsName: 'ten-takeovers',
    reportFile: flags.report,
    run: ({ lab, clients, keep }) =>
      runTakeovers({
        count,
        lab,
        clients,
        onRound: async (round, soFar) => {
          for (const remark of round.remarks) say(`round ${round.round}: ${remark}`);
          await keep(round, soFar);
        },
      }),
    tables: (report) => [summaryTable(report), stallTable(report)],
  }),
});
