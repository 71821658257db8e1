// The mirror under a guest that runs fio with verification, with real faults: a trim, another
// pair's disk, then a short campaign. The long ones are `npm run lab:copies` and `npm run lab:disks`.
import { existsSync } from 'node:fs';
import t from 'tap';
import { systemClock } from '../../hwqual/campaigns/clock.ts';
import { CopiesRun } from '../../hwqual/campaigns/copies-campaign.ts';
import type { DisksRoundPlan } from '../../hwqual/campaigns/disk-faults-plan.ts';
import { runDisks } from '../../hwqual/campaigns/disks-campaign.ts';
import { disksTable, roundText } from '../../hwqual/campaigns/disks-report.ts';
import { GuestLoadConnection } from '../../hwqual/campaigns/guest-load.ts';
import { ClientsProcess } from '../../hwqual/lab/clients/controller.ts';
import { labControl } from '../../hwqual/lab/control.ts';
import { FIO } from '../../hwqual/lab/guest/fio-files.ts';
import { holdLab } from '../../hwqual/lab/holder.ts';
import { prepareParts } from '../../hwqual/lab/prepare.ts';
import { labSettings } from '../../hwqual/lab/settings.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const MINUTE_MS = 60_000;
t.setTimeout(10 * MINUTE_MS);

const engine = engineRootPath();
const missing = [`${engine}/usr/bin/busybox`, FIO, '/usr/sbin/mkfs.xfs'].find((path) => !existsSync(path));
const why = process.getuid?.() !== 0 ? 'needs root' : missing === undefined ? false : `needs ${missing}`;

/** A takeover, a copy that fails while a link is down, and both links at once with a power failure on the way back. */
const PLAN: DisksRoundPlan[] = [
  {
    round: 1,
    leadMs: 3000,
    fault: { kind: 'powerOff', side: 'primary' },
    holdMs: 300,
    second: null,
    lossSeed: 1,
    checksFileSystems: false,
  },
  {
    round: 2,
    leadMs: 1000,
    fault: { kind: 'disk', trouble: 'write-error', side: 'secondary' },
    holdMs: 300,
    second: { fault: { kind: 'cutLink', link: 1 }, when: 'beforeRepair', afterMs: 100, holdMs: 300 },
    lossSeed: 2,
    checksFileSystems: true,
  },
  {
    round: 3,
    leadMs: 1000,
    fault: { kind: 'cutBothLinks' },
    holdMs: 300,
    second: { fault: { kind: 'powerOff', side: 'lost' }, when: 'duringRepair', afterMs: 300, holdMs: 200 },
    lossSeed: 3,
    checksFileSystems: false,
  },
];

t.test('random faults under fio', { skip: why, timeout: 9 * MINUTE_MS }, async (t) => {
  const settings = labSettings({ instance: 'dt', webPort: 18743 });
  const lines: string[] = [];
  const say = (line: string) => lines.push(line);
  const held = await holdLab(settings, await prepareParts(settings, { acceleration: 'tcg', load: 'fio' }, say), say);
  const lab = labControl(settings, say);
  const clients = new ClientsProcess({ spawn: (command) => lab.spawnLan(command), onIncident: (i) => say(JSON.stringify(i)) });
  t.teardown(async () => {
    await clients.close().catch(() => undefined);
    await held.takeDown();
  });
  await lab.waitDuplex(180);
  const load = new GuestLoadConnection((command) => lab.spawnLan(command));
  const copies = new CopiesRun({ lab, load, clock: systemClock });
  for (const step of [
    await copies.step('trim', copies.trim),
    await copies.step("another pair's disk", copies.adopt('otherPair', /belongs to another pair/)),
  ]) {
    for (const line of step.found) t.comment(`${step.name}: ${line}`);
    t.strictSame(step.problems, [], step.name);
  }
  await load.close();
  const report = await runDisks({
    plan: PLAN,
    seed: 0,
    lab,
    clients,
    connect: () => new GuestLoadConnection((command) => lab.spawnLan(command)),
    onRound: async (round) => void say(roundText(round, PLAN.length)),
  });
  if (!report.ok) for (const line of lines) t.comment(line);
  for (const line of disksTable(report).split('\n')) t.comment(line);
  t.strictSame(report.problems, []);
  t.match(report, {
    ok: true,
    rounds: { length: 3 },
    compared: 4,
    identical: 4,
    fileSystemChecks: 2,
    fileSystemChecksClean: 2,
    ioErrors: 0,
    verificationErrors: 0,
    lostAcknowledged: 0,
  });
});
