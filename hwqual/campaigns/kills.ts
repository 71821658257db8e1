// `npm run lab:kills -- N`: starts a pair of its own, causes N power failures with clients at work, prints what the clients
// noticed and keeps the report and the evidence of every failure under test/results/.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ClientsProcess } from '../lab/clients/controller.ts';
import { labControl } from '../lab/control.ts';
import { holdLab } from '../lab/holder.ts';
import { LabError, messageOf } from '../lab/lab-error.ts';
import { prepareParts, requireRoot } from '../lab/prepare.ts';
import { alreadyRuns, runningSupervisor } from '../lab/record.ts';
import { labSettings } from '../lab/settings.ts';
import { progressText, runIncidents, runKills, summaryTable } from './kills-campaign.ts';
import type { Report } from './report.ts';
import { EvidenceKeeper, RESULTS_FOLDER, resultsName, saveReport } from './results.ts';

interface KillsOptions {
  report?: string;
  instance: string;
  port?: string;
  bundle?: string;
  mode?: string;
  minutes?: string;
  resume?: string;
  incidents?: boolean;
}

function say(text: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${text}\n`);
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

async function kills(countText: string, options: KillsOptions): Promise<number> {
  const count = Number(countText);
  if (!Number.isInteger(count) || count < 1)
    throw new LabError(`"${countText}" is not a number of power failures`, 'npm run lab:kills -- 40');
  const { mode } = options;
  if (mode !== undefined && mode !== 'passive' && mode !== 'lockstep') throw new LabError(`--mode ${mode}`, 'give passive or lockstep');
  const minutes = options.minutes === undefined ? Number.POSITIVE_INFINITY : Number(options.minutes);
  if (!(minutes > 0)) throw new LabError(`--minutes ${options.minutes}`, 'give the minutes after which no further round begins');
  const earlier = options.resume === undefined ? undefined : readEarlier(options.resume);
  const settings = labSettings({ instance: options.instance, ...(options.port === undefined ? {} : { webPort: Number(options.port) }) });
  requireRoot();
  const pid = runningSupervisor(settings);
  if (pid !== undefined) throw alreadyRuns(settings, pid);
  const parts = await prepareParts(
    settings,
    { ...(options.bundle === undefined ? {} : { bundle: options.bundle }), ...(mode === undefined ? {} : { mode }) },
    say,
  );
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
  const file =
    options.report ??
    options.resume ??
    join(RESULTS_FOLDER, resultsName(options.incidents ? 'incidents' : 'kills', Date.now()), 'report.json');
  const evidence = new EvidenceKeeper(lab, file.replace(/(\.json)?$/, '-evidence'));
  try {
    const report = await (options.incidents ? runIncidents : runKills)({
      count,
      lab,
      clients,
      limitMs: minutes * 60_000,
      earlier,
      onRound: async (round, soFar) => {
        say(progressText(soFar, count, earlier?.rounds.length ?? 0));
        await evidence.keep(round);
        await saveReport(soFar, file);
      },
    });
    if (!interrupted) await evidence.keepEnd(report);
    const { json, page } = await saveReport(report, file);
    process.stdout.write(`\n${summaryTable(report)}\n\nreport ${json}\n  page ${page}\n`);
    if (interrupted) return 130;
    return report.ok ? 0 : 1;
  } finally {
    await clients.close().catch(() => undefined);
    await held.takeDown();
  }
}

const program = new Command('lab:kills')
  .description('Power failures of the CoServers of a pair of its own, with clients at work.')
  .argument('[count]', 'how many', '40')
  .option('--report <file>', 'where to put the report (JSON, and a page beside it)')
  .option('--mode <mode>', 'passive or lockstep; default: as TWINSTEP_MODE says, else passive')
  .option('--incidents', "break the secondary's guest in every way instead: the pair must find it and mend it by itself")
  .option('--minutes <n>', 'no further round begins after so long')
  .option('--resume <report.json>', 'go on behind the rounds of this report, on a new pair, and write it again')
  .option('--port <n>', "of A's web console on this machine; B's is the next one")
  .option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0')
  .option('--bundle <folder>', 'run this twinstep.mjs instead of building the tree')
  .exitOverride()
  .showHelpAfterError()
  .allowExcessArguments(false);

try {
  program.parse();
  process.exit(await kills(program.args[0] ?? '40', program.opts<KillsOptions>()));
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode);
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}
