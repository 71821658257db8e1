// `npm run lab:machine-faults`: boots two whole machines (or takes the two servers of a real.yaml, and asks a person), makes every fault
// that can be made there, on both sides, and checks what the product makes of each. The report is kept after each fault.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../lab/lab-error.ts';
import { say } from './campaign-command.ts';
import { systemClock } from './clock.ts';
import { runMachineFaults } from './machine-faults-campaign.ts';
import { EXPECTED, machineFaultsPlan, notMade } from './machine-faults-plan.ts';
import { faultsPage, faultsTable, type MachineFaultsReport, outcomeText } from './machine-faults-report.ts';
import { type MachineWorld, withMachines } from './machine-lab.ts';
import { MachineWatch } from './machine-watch.ts';
import { RESULTS_FOLDER, resultsName, saveBoth } from './results.ts';

const HELP = `npm run lab:machine-faults -- [--only TEXT,TEXT] [--one-by-one] [--real FILE.yaml | --held FILE] [--report FILE.json] [--instance X] [--port N]

  --only TEXT     only faults whose names contain it: fan, nvmeReadOnly:A
  --one-by-one    nothing beside anything else; always so with --real
  --real FILE     two real servers (hwqual/lab/real.example.yaml), and a person at this screen
  --held FILE     machines that are up already (npm run lab:machines -- up --detach); FILE has the password that it printed
`;

/** A few reads a second, and a write now and then: a disk of which nobody wants anything cannot be told from a good one. */
const READING = `for i in 1 2 3; do (while :; do for d in sda nvme0n1; do dd if=/dev/$d of=/dev/null bs=4096 count=4 skip=$((i * 4000)) iflag=direct; done; sleep 1; done) >/dev/null 2>&1 & done; (while :; do for f in /var/lib/twinstep /var/lib/twinstep/disks; do echo x >$f/campaign; sync -d $f/campaign; done; sleep 3; done) >/dev/null 2>&1 & echo reading`;

function flagsOf() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      'one-by-one': { type: 'boolean' },
      real: { type: 'string' },
      held: { type: 'string' },
      report: { type: 'string' },
      instance: { type: 'string' },
      port: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  return values;
}

async function run(
  { lab, hands, consoles, wasInterrupted, interrupted }: MachineWorld,
  flags: ReturnType<typeof flagsOf>,
): Promise<number> {
  const file = flags.report ?? join(RESULTS_FOLDER, resultsName('machine-faults', Date.now()), 'report.json');
  const only = (flags.only ?? '').split(',').filter((text) => text !== '');
  const stages = machineFaultsPlan(lab.faults, only, lab.world === 'virtual' && flags['one-by-one'] !== true);
  const watch = new MachineWatch({ snapshot: (server) => consoles[server].snapshot() }, (entry) =>
    say(`  ${entry.coServer} ${entry.row === null ? '' : `[${entry.row}] `}${entry.text}`),
  );
  const keep = (report: MachineFaultsReport) => saveBoth(report, faultsPage(report), file);
  watch.start();
  // Whoever waits for something is told that it does not come.
  void interrupted.then(() => watch.stop());
  try {
    for (const server of ['A', 'B'] as const) await hands?.(server, READING);
    const report = await runMachineFaults({
      lab,
      watch,
      stages,
      tryDisk: (server) => consoles[server].act('try-disk'),
      onOutcome: async (outcome, soFar) => {
        say(outcomeText(outcome));
        // A machine that started anew does nothing of its own with its disk.
        if (outcome.action === 'restart' || EXPECTED[outcome.fault]?.ends === 'powerCycle') await hands?.(outcome.server, READING);
        await keep(soFar);
      },
      say,
      wasInterrupted,
      sleep: systemClock.sleep,
    });
    report.notMade = notMade(lab.faults, lab.world);
    const { json, page } = await keep(report);
    process.stdout.write(`\n${faultsTable(report)}\n\nreport ${json}\n  page ${page}\n`);
    if (wasInterrupted()) return 130;
    return report.ok ? 0 : 1;
  } finally {
    await watch.stop();
  }
}

try {
  const flags = flagsOf();
  if (flags.help) process.stdout.write(HELP);
  else {
    const instance = flags.instance ?? process.env.TWINSTEP_LAB_INSTANCE ?? '0';
    const code = await withMachines({ instance, port: flags.port, real: flags.real, held: flags.held }, say, (world) => run(world, flags));
    if (code !== null) process.exitCode = code;
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
