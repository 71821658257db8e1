// `node hwqual/campaigns/ten-takeovers.ts [N]`: starts a pair of its own and leads the same connections through N takeovers (default
// 10). Prints what the clients noticed; the report and the evidence of every failure are kept under test/results/.
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ClientsProcess } from '../lab/clients/controller.ts';
import { labControl } from '../lab/control.ts';
import { holdLab } from '../lab/holder.ts';
import { LabError, messageOf } from '../lab/lab-error.ts';
import { prepareParts, requireRoot } from '../lab/prepare.ts';
import { alreadyRuns, runningSupervisor } from '../lab/record.ts';
import { labSettings } from '../lab/settings.ts';
import { summaryTable } from './kills-campaign.ts';
import { EvidenceKeeper, RESULTS_FOLDER, resultsName, saveReport } from './results.ts';
import { runTakeovers, stallTable } from './ten-takeovers-campaign.ts';

interface TakeoversOptions {
  report?: string;
  instance: string;
  port?: string;
  bundle?: string;
}

function say(text: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${text}\n`);
}

async function takeovers(countText: string, options: TakeoversOptions): Promise<number> {
  const count = Number(countText);
  if (!Number.isInteger(count) || count < 1)
    throw new LabError(`"${countText}" is not a number of takeovers`, 'node hwqual/campaigns/ten-takeovers.ts 10');
  const settings = labSettings({ instance: options.instance, ...(options.port === undefined ? {} : { webPort: Number(options.port) }) });
  requireRoot();
  const pid = runningSupervisor(settings);
  if (pid !== undefined) throw alreadyRuns(settings, pid);
  const parts = await prepareParts(settings, options.bundle === undefined ? {} : { bundle: options.bundle }, say);
  const held = await holdLab(settings, parts, say);
  let interrupted = false;
  void held.gone.then(
    () => {
      interrupted = true;
    },
    () => undefined,
  );
  const lab = labControl(settings, say);
  held.lab.on('event', say);
  const clients = new ClientsProcess({
    spawn: (command) => lab.spawnLan(command),
    onIncident: (incident) => say(`client: ${JSON.stringify(incident)}`),
  });
  const file = options.report ?? join(RESULTS_FOLDER, resultsName('ten-takeovers', Date.now()), 'report.json');
  const evidence = new EvidenceKeeper(lab, file.replace(/(\.json)?$/, '-evidence'));
  try {
    const report = await runTakeovers({
      count,
      lab,
      clients,
      onRound: async (round, soFar) => {
        for (const remark of round.remarks) say(`round ${round.round}: ${remark}`);
        await evidence.keep(round);
        await saveReport(soFar, file);
      },
    });
    if (!interrupted) await evidence.keepEnd(report);
    const { json, page } = await saveReport(report, file);
    process.stdout.write(`\n${summaryTable(report)}\n\n${stallTable(report)}\n\nreport ${json}\n  page ${page}\n`);
    if (interrupted) return 130;
    return report.ok ? 0 : 1;
  } finally {
    await clients.close().catch(() => undefined);
    await held.takeDown();
  }
}

const program = new Command('ten-takeovers')
  .description('The same connections through many takeovers of a pair of its own.')
  .argument('[count]', 'how many', '10')
  .option('--report <file>', 'where to put the report (JSON, and a page beside it)')
  .option('--port <n>', "of A's web console on this machine; B's is the next one")
  .option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0')
  .option('--bundle <folder>', 'run this twinstep.mjs instead of building the tree')
  .exitOverride()
  .showHelpAfterError()
  .allowExcessArguments(false);

try {
  program.parse();
  process.exit(await takeovers(program.args[0] ?? '10', program.opts<TakeoversOptions>()));
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode);
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}
