// What the commands of the campaigns have in common: a pair of its own with clients at work, taken down again whatever happens; the
// report and the evidence of every failed round on disk after each round; a Ctrl-C that still leaves a report (exit code 130).
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ClientsProcess } from '../lab/clients/controller.ts';
import type { DiskUse } from '../lab/configuration.ts';
import { labControl } from '../lab/control.ts';
import type { GuestLoad } from '../lab/guest/build.ts';
import { holdLab } from '../lab/holder.ts';
import { LabError, messageOf } from '../lab/lab-error.ts';
import { prepareParts, requireRoot } from '../lab/prepare.ts';
import { alreadyRuns, runningSupervisor } from '../lab/record.ts';
import { labSettings } from '../lab/settings.ts';
import type { LabControl } from './lab-control.ts';
import type { Report, Round } from './report.ts';
import { EvidenceKeeper, RESULTS_FOLDER, resultsName, saveReport } from './results.ts';

/** As every campaign's command line has them. */
export interface CampaignFlags {
  report?: string;
  instance: string;
  port?: string;
  bundle?: string;
}

export interface OwnPair {
  lab: LabControl;
  clients: ClientsProcess;
  /** After each round: the report so far, and the evidence if the round failed. */
  keep(round: Round, soFar: Report): Promise<void>;
}

/** What the flags ask for: checked before anything is started. */
export interface CampaignOrder<R extends Report = Report> {
  /** Of the folder under test/results/, unless the report has a file. */
  resultsName: string;
  reportFile: string | undefined;
  /** Undefined: as TWINSTEP_MODE says. */
  mode?: 'passive' | 'lockstep' | undefined;
  run(own: OwnPair): Promise<R>;
  /** Printed at the end. */
  tables(report: R): readonly string[];
}

export interface CampaignCommand<Flags extends CampaignFlags, R extends Report> {
  name: string;
  description: string;
  defaultCount: number;
  /** "power failures" */
  counted: string;
  /** A command line that works. */
  example: string;
  /** Flags of its own. */
  addFlags?(command: Command): void;
  /** Throws LabError for flags that make no sense. */
  order(count: number, flags: Flags): CampaignOrder<R>;
}

/** The part of a campaign's command line that all have. */
export interface CommandLine<Flags extends CampaignFlags> {
  name: string;
  description: string;
  defaultCount: number;
  counted: string;
  example: string;
  addFlags?(command: Command): void;
  run(count: number, flags: Flags): Promise<number>;
}

export function say(text: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${text}\n`);
}

/** A lab of its own for `work`, taken down whatever happens. */
export async function withOwnLab<T>(
  flags: CampaignFlags,
  pair: { mode?: CampaignOrder['mode']; load?: GuestLoad; level?: 2 | 3; disk?: DiskUse },
  work: (own: { lab: LabControl; wasInterrupted: () => boolean }) => Promise<T>,
): Promise<T> {
  const settings = labSettings({ instance: flags.instance, ...(flags.port === undefined ? {} : { webPort: Number(flags.port) }) });
  const { mode, load, level, disk } = pair;
  requireRoot();
  const pid = runningSupervisor(settings);
  if (pid !== undefined) throw alreadyRuns(settings, pid);
  const parts = await prepareParts(
    settings,
    {
      ...(flags.bundle === undefined ? {} : { bundle: flags.bundle }),
      ...(mode === undefined ? {} : { mode }),
      ...(load === undefined ? {} : { load }),
      ...(level === undefined ? {} : { level }),
      ...(disk === undefined ? {} : { disk }),
    },
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
  held.lab.on('event', say);
  try {
    return await work({ lab: labControl(settings, say), wasInterrupted: () => interrupted });
  } finally {
    await held.takeDown();
  }
}

async function obey<R extends Report>(order: CampaignOrder<R>, flags: CampaignFlags): Promise<number> {
  return withOwnLab(flags, { mode: order.mode }, async ({ lab, wasInterrupted }) => {
    const clients = new ClientsProcess({
      spawn: (command) => lab.spawnLan(command),
      onIncident: (incident) => say(`client: ${JSON.stringify(incident)}`),
    });
    const file = order.reportFile ?? join(RESULTS_FOLDER, resultsName(order.resultsName, Date.now()), 'report.json');
    const evidence = new EvidenceKeeper(lab, file.replace(/(\.json)?$/, '-evidence'));
    try {
      const report = await order.run({
        lab,
        clients,
        keep: async (round, soFar) => {
          await evidence.keep(round);
          await saveReport(soFar, file);
        },
      });
      if (!wasInterrupted()) await evidence.keepEnd(report);
      const { json, page } = await saveReport(report, file);
      process.stdout.write(`\n${order.tables(report).join('\n\n')}\n\nreport ${json}\n  page ${page}\n`);
      if (wasInterrupted()) return 130;
      return report.ok ? 0 : 1;
    } finally {
      await clients.close().catch(() => undefined);
    }
  });
}

/** Runs the command line of this process to its end: 0 the report says ok, 1 it does not, 130 interrupted. */
export function runCampaignCommand<Flags extends CampaignFlags, R extends Report>(campaign: CampaignCommand<Flags, R>): Promise<never> {
  return runCommandLine<Flags>({ ...campaign, run: (count, flags) => obey(campaign.order(count, flags), flags) });
}

export async function runCommandLine<Flags extends CampaignFlags>(line: CommandLine<Flags>): Promise<never> {
  const program = new Command(line.name)
    .description(line.description)
    .argument('[count]', 'how many', String(line.defaultCount))
    .option('--report <file>', 'where to put the report (JSON)');
  line.addFlags?.(program);
  program
    .option('--port <n>', "of A's web console on this machine; B's is the next one")
    .option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0')
    .option('--bundle <folder>', 'run this twinstep.mjs instead of building the tree')
    .exitOverride()
    .showHelpAfterError()
    .allowExcessArguments(false);
  try {
    program.parse();
    const countText = program.args[0] ?? String(line.defaultCount);
    const count = Number(countText);
    if (!Number.isInteger(count) || count < 1) throw new LabError(`"${countText}" is not a number of ${line.counted}`, line.example);
    process.exit(await line.run(count, program.opts<Flags>()));
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode);
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(1);
  }
}
