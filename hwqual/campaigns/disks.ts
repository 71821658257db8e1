// `npm run lab:disks -- N`: starts a pair of its own whose guest runs fio with verification, causes N rounds of random faults (processes
// killed and stopped, power, links, disks), compares both copies after each, and keeps the report and the evidence of every failure
// under test/results/. The seed is printed; `--seed` repeats it.
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { ClientsProcess } from '../lab/clients/controller.ts';
import { LabError } from '../lab/lab-error.ts';
import { type CampaignFlags, runCommandLine, say, withOwnLab } from './campaign-command.ts';
import { disksPlan } from './disk-faults-plan.ts';
import { runDisks } from './disks-campaign.ts';
import { disksPage } from './disks-page.ts';
import { disksTable, roundText } from './disks-report.ts';
import { GuestLoadConnection } from './guest-load.ts';
import { EvidenceKeeper, RESULTS_FOLDER, resultsName, saveBoth } from './results.ts';

interface DisksFlags extends CampaignFlags {
  seed?: string;
  only?: string;
  minutes?: string;
}

const MAX_SEED = 2 ** 31 - 1;

async function run(count: number, flags: DisksFlags): Promise<number> {
  const seed = flags.seed === undefined ? randomInt(MAX_SEED) : Number(flags.seed);
  if (!Number.isInteger(seed) || seed < 0 || seed > MAX_SEED)
    throw new LabError(`--seed ${flags.seed}`, `give a whole number up to ${MAX_SEED}`);
  const minutes = flags.minutes === undefined ? Number.POSITIVE_INFINITY : Number(flags.minutes);
  if (!(minutes > 0)) throw new LabError(`--minutes ${flags.minutes}`, 'give the minutes after which no further round begins');
  const plan = disksPlan(count, seed, flags.only);
  say(`seed ${seed}`);
  const file = flags.report ?? join(RESULTS_FOLDER, resultsName('disks', Date.now()), 'report.json');
  return withOwnLab(flags, { load: 'fio' }, async ({ lab, wasInterrupted }) => {
    const clients = new ClientsProcess({
      spawn: (command) => lab.spawnLan(command),
      onIncident: (incident) => say(`client: ${JSON.stringify(incident)}`),
    });
    const evidence = new EvidenceKeeper(lab, file.replace(/(\.json)?$/, '-evidence'));
    try {
      const report = await runDisks({
        plan,
        seed,
        lab,
        clients,
        connect: () => new GuestLoadConnection((command) => lab.spawnLan(command)),
        limitMs: minutes * 60_000,
        onRound: async (round, soFar) => {
          say(roundText(round, count));
          await evidence.keep(round, { copies: round.copiesIdentical === false || round.verificationErrors > 0 });
          await saveBoth(soFar, disksPage(soFar), file);
        },
      });
      if (!wasInterrupted()) await evidence.keepEnd(report);
      const { json, page } = await saveBoth(report, disksPage(report), file);
      process.stdout.write(`\n${disksTable(report)}\n\nreport ${json}\n  page ${page}\n`);
      if (wasInterrupted()) return 130;
      return report.ok ? 0 : 1;
    } finally {
      await clients.close().catch(() => undefined);
    }
  });
}

await runCommandLine<DisksFlags>({
  name: 'lab:disks',
  description: 'Random faults under fio with verification, on a pair of its own; both copies compared after each.',
  defaultCount: 200,
  counted: 'rounds',
  example: 'npm run lab:disks -- 200',
  addFlags: (command) => {
    command
      .option('--seed <n>', 'the faults and their moments; default: by chance, and printed')
      .option('--only <text>', 'only faults whose names contain this: "power off", "disk hang, secondary"')
      .option('--minutes <n>', 'no further round begins after so long');
  },
  run,
});
