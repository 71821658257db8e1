// Boots two whole machines that differ in one thing after another, and compares them by the checks of the qualification: each difference must
// be seen by the item that stands for it, and two twins by none but what this lab cannot have. Needs no product in the machines.
//   node hwqual/campaigns/mismatched-twins.ts [--instance X] [WHAT...]
import { parseArgs } from 'node:util';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Inventory } from '../../drivers/inventory/index.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { compare, type Facts, type Waiver } from '../checks/index.ts';
import { messageOf } from '../lab/lab-error.ts';
import { DEFAULT_WORKLOAD } from '../lab/machines/configuration.ts';
import { insideRack } from '../lab/machines/enter.ts';
import { holdMachines } from '../lab/machines/holder.ts';
import type { MachinesLab } from '../lab/machines/lab.ts';
import { machinesSettings } from '../lab/machines/settings.ts';
import { MISMATCHES, type Mismatch, mismatched, parseMismatch, TWIN } from '../lab/machines/spec.ts';
import { requireRoot } from '../lab/prepare.ts';

const BOOT_TIMEOUT_MS = 600_000;
const PROBE_TIMEOUT_MS = 300_000;
const GUEST_MEMORY_BYTES = 256 * 2 ** 20;
const GUEST_DISK_BYTES = 64 * 2 ** 20;
/** Differences that the rules let pass: they must be seen, as compatible. */
const COMPATIBLE: readonly Mismatch[] = ['diskFirmware'];
/** Items, by the beginning of their names, of which at least one must say so. */
const EXPECTED: Record<Mismatch, RegExp> = {
  biosVersion: /^bios\.version/,
  biosDate: /^bios\.date/,
  board: /^board\./,
  cpuModel: /^cpu\./,
  microcode: /microcode/,
  cores: /core/i,
  nicModel: /^nics?\./,
  memorySize: /^memory\./,
  memoryModule: /^memory\./,
  diskSize: /^disks?\./,
  diskFirmware: /^disks?\./,
  bmcFirmware: /^bmc\./,
};

async function factsOf(lab: MachinesLab, coServer: CoServerName): Promise<Facts> {
  const { output } = await lab.machine(coServer).hands.ask('probe', PROBE_TIMEOUT_MS);
  const { inventory } = JSON.parse(output) as { inventory: Inventory };
  return {
    ...{ coServer, inventory, version: 'lab', engine: 'lab', disk: '/dev/sda' },
    nics: ['link1', 'link2', 'lan0', 'mgmt0'].map((nic) => ({ role: nic, nic })),
    ...{ guestMemoryBytes: GUEST_MEMORY_BYTES, guestDiskBytes: GUEST_DISK_BYTES },
  };
}

const { values, positionals } = parseArgs({ options: { instance: { type: 'string' }, port: { type: 'string' } }, allowPositionals: true });
const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

async function main(): Promise<void> {
  requireRoot();
  const wanted = positionals.length === 0 ? MISMATCHES : positionals.map(parseMismatch);
  const settings = machinesSettings({
    ...(values.instance === undefined ? {} : { instance: values.instance }),
    ...(values.port === undefined ? {} : { webPort: Number(values.port) }),
  });
  if (!(await insideRack(settings, engineRootPath()))) return;
  const { lab, takeDown } = await holdMachines(
    settings,
    { A: TWIN, B: TWIN },
    { power: true, runsProduct: false, workload: DEFAULT_WORKLOAD },
    print,
  );
  try {
    const a = await factsOf(lab, 'A');
    const twins = compare(a, await factsOf(lab, 'B'), 'identical');
    const open = twins.items.filter((i) => i.verdict === 'refused' || i.verdict === 'unknown');
    for (const item of open) print(`twins: ${item.verdict} ${item.id}: ${item.a} on A, ${item.b} on B (${item.rule})`);
    if (open.some((i) => i.verdict === 'refused' && i.a !== i.b)) process.exitCode = 1;
    // What both lack alike, or the one that differs would be refused for that.
    const waivers: Waiver[] = open.map((i) => ({ item: i.id, reason: 'a machine under emulation has none', alsoRefused: true }));
    let missed = 0;
    for (const what of wanted) {
      await lab.replace('B', mismatched(TWIN, what));
      await lab.power('B').on();
      const bootS = await lab.booted('B', BOOT_TIMEOUT_MS);
      const { items, verdict } = compare(a, await factsOf(lab, 'B'), 'identical', waivers);
      const wantedVerdict = COMPATIBLE.includes(what) ? 'compatible' : 'refused';
      const differing = items.filter((i) => i.waived === null && (i.verdict === 'refused' || i.verdict === wantedVerdict));
      const isRight =
        differing.some((i) => i.verdict === wantedVerdict && EXPECTED[what].test(i.id)) &&
        (verdict === 'passed') === (wantedVerdict === 'compatible');
      if (!isRight) missed++;
      const named = differing.map((i) => `${i.id} (${i.a} / ${i.b})`).join(', ');
      print(`${what.padEnd(14)}${verdict.padEnd(9)}${isRight ? `right: ${wantedVerdict}` : 'WRONG'}  ${named}  [booted in ${bootS} s]`);
    }
    print(`${wanted.length} mismatches tried, ${wanted.length - missed} judged as they must be, each by the item that stands for it`);
    if (missed > 0) process.exitCode = 1;
  } finally {
    await takeDown();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
