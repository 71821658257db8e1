// `npm run lab:soak -- --minutes 60`: two healthy whole machines under load, CPU, disks and network at once. Whatever is told of their
// hardware meanwhile is a false alarm. And what the watching costs: CPU of its thread beside the others.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { LabError, messageOf } from '../lab/lab-error.ts';
import { ADDRESSES } from '../lab/settings.ts';
import { say } from './campaign-command.ts';
import { type MachineWorld, withMachines } from './machine-lab.ts';
import {
  concludeSoak,
  costBetween,
  parseThreads,
  type SoakReport,
  soakPage,
  soakTable,
  THREADS_COMMAND,
  type ThreadTicks,
} from './machine-soak-report.ts';
import { MachineWatch } from './machine-watch.ts';
import { partnerOf } from './pair-picture.ts';
import { RESULTS_FOLDER, resultsName, saveBoth } from './results.ts';

const HELP = 'npm run lab:soak -- [--minutes 60] [--held PASSWORD_FILE] [--report FILE.json] [--instance X] [--port N]\n';
const LOAD = 'sums of a large file, both disks written and read, frames of 1400 bytes over a link';
const HEALTHY_LIMIT_MS = 900_000;
const REPORT_EVERY_MS = 60_000;

/** Loops that leave some time to the product: an emulated server has little of it. */
const loadCommand = (peer: string): string =>
  [
    '(while :; do dd if=/dev/zero of=/var/lib/twinstep/disks/load bs=64k count=64 conv=fsync; dd if=/var/lib/twinstep/disks/load of=/dev/null bs=64k iflag=direct; sleep 1; done) >/dev/null 2>&1 &',
    '(while :; do dd if=/dev/zero of=/var/lib/twinstep/load bs=64k count=32 conv=fsync; sleep 1; done) >/dev/null 2>&1 &',
    '(while :; do nice -n 10 sha256sum /opt/twinstep/node; sleep 2; done) >/dev/null 2>&1 &',
    `(while :; do ping -c 50 -i 0.1 -s 1400 ${peer}; sleep 1; done) >/dev/null 2>&1 &`,
    'echo loaded',
  ].join(' ');

type Hands = NonNullable<MachineWorld['hands']>;

async function ticks(hands: Hands, server: CoServerName): Promise<ThreadTicks | null> {
  try {
    return parseThreads(await hands(server, THREADS_COMMAND));
  } catch (error) {
    say(messageOf(error));
    return null;
  }
}

const bothTicks = async (hands: Hands) => ({ A: await ticks(hands, 'A'), B: await ticks(hands, 'B') });

async function run({ hands, consoles, wasInterrupted, interrupted }: MachineWorld, minutes: number, file: string): Promise<number> {
  if (hands === null) throw new LabError('the load is made in whole machines', HELP);
  const report: SoakReport = {
    name: 'Healthy servers under load',
    startedAt: Date.now(),
    minutes: 0,
    wantedMinutes: minutes,
    load: LOAD,
    falseAlarms: [],
    looks: { A: { answered: 0, silent: 0 }, B: { answered: 0, silent: 0 } },
    costs: { A: null, B: null },
    ok: false,
    problems: [],
  };
  const counted = async (server: CoServerName) => {
    const picture = await consoles[server].snapshot();
    report.looks[server][picture === null ? 'silent' : 'answered']++;
    return picture;
  };
  const watch = new MachineWatch({ snapshot: counted }, (entry) => say(`  ${entry.coServer} ${entry.text}`));
  watch.start();
  // Whoever waits for something is told that it does not come.
  void interrupted.then(() => watch.stop());
  try {
    say('waiting until both servers watch their hardware');
    const well = await watch.until(() => (watch.isWatchedAndWell('A') && watch.isWatchedAndWell('B') ? true : null), HEALTHY_LIMIT_MS);
    if (!well) report.problems.push('the servers did not come to watch their hardware in good order');
    for (const server of ['A', 'B'] as const) await hands(server, loadCommand(ADDRESSES.link(1, partnerOf(server))));
    say(`under load for ${minutes} minutes`);
    report.looks = { A: { answered: 0, silent: 0 }, B: { answered: 0, silent: 0 } };
    const startedMs = performance.now();
    const before = await bothTicks(hands);
    const elapsed = () => performance.now() - startedMs;
    const keep = async (): Promise<{ json: string; page: string }> => {
      const after = await bothTicks(hands);
      for (const server of ['A', 'B'] as const) {
        const [from, to] = [before[server], after[server]];
        report.costs[server] = from && to ? costBetween(from, to) : null;
      }
      report.minutes = Math.round(elapsed() / 6_000) / 10;
      const now = structuredClone(report);
      concludeSoak(now, watch.told, startedMs);
      const saved = await saveBoth(now, soakPage(now), file);
      if (elapsed() < minutes * 60_000 && !wasInterrupted()) say(`${now.minutes} minutes, ${now.falseAlarms.length} false alarms`);
      else {
        Object.assign(report, now);
      }
      return saved;
    };
    while (elapsed() < minutes * 60_000 && !wasInterrupted()) {
      await sleep(Math.min(REPORT_EVERY_MS, Math.max(0, minutes * 60_000 - elapsed())));
      if (elapsed() < minutes * 60_000) await keep();
    }
    const { json, page } = await keep();
    process.stdout.write(`\n${soakTable(report)}\n\nreport ${json}\n  page ${page}\n`);
    if (wasInterrupted()) return 130;
    return report.ok ? 0 : 1;
  } finally {
    await watch.stop();
  }
}

try {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '60' },
      held: { type: 'string' },
      report: { type: 'string' },
      instance: { type: 'string' },
      port: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new LabError(`--minutes ${values.minutes}`, 'give the minutes, as 60');
  if (values.help) process.stdout.write(HELP);
  else {
    const file = values.report ?? join(RESULTS_FOLDER, resultsName('soak', Date.now()), 'report.json');
    const instance = values.instance ?? process.env.TWINSTEP_LAB_INSTANCE ?? '0';
    const code = await withMachines({ instance, port: values.port, held: values.held }, say, (world) => run(world, minutes, file));
    if (code !== null) process.exitCode = code;
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
