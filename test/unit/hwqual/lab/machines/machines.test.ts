// The whole machines of the lab, as far as they are text: QEMU's command line, the BMC's sensors, carriers, and what makes two differ.
import t from 'tap';
import { decodeSdr } from '../../../../../drivers/ipmi/sdr.ts';
import { LAB_FAULT_NAMES } from '../../../../../hwqual/lab/lab-interface.ts';
import { machineArguments } from '../../../../../hwqual/lab/machines/arguments.ts';
import { allWhole, carriers, withCable } from '../../../../../hwqual/lab/machines/cables.ts';
import { RECIPES } from '../../../../../hwqual/lab/machines/faults.ts';
import { bmcEmulation } from '../../../../../hwqual/lab/machines/sensors.ts';
import {
  type MachineSpec,
  MISMATCHES,
  macOf,
  mismatched,
  NIC_ROLES,
  parseMismatch,
  TWIN,
} from '../../../../../hwqual/lab/machines/spec.ts';

const line = (spec: MachineSpec, name: 'A' | 'B' = 'A') =>
  machineArguments({
    ...{ name, spec, acceleration: 'tcg', boot: { kind: 'kernel', kernel: '/k', initrd: '/i', append: 'a b' }, nvme: '/n', sata: '/s' },
    ...{ kcsPort: 1, qmp: '/q', hands: '/h', log: '/l', firmware: ['/f'] },
  });

t.test('the two machines differ in names, addresses and serial numbers only', async (t) => {
  const [a, b] = [line(TWIN, 'A'), line(TWIN, 'B')];
  const differing = a.filter((word, i) => word !== b[i]);
  t.ok(differing.length > 0);
  for (const word of differing) t.match(word, /machine-a|ifname=a-|mac=|serial=/);
});

t.test('a machine that boots its disk: a UEFI, the NVMe disk first, nothing from the network', async (t) => {
  const given = { config: '/g,c' };
  const boot = { kind: 'disk', firmware: '/fw', variables: '/vars', words: 'w=1', given, stick: '/stick', consoleLog: '/log' } as const;
  const words = machineArguments({
    ...{ name: 'A', spec: TWIN, acceleration: 'tcg', boot, nvme: '/n', sata: '/s' },
    ...{ kcsPort: 1, qmp: '/q', hands: '/h', log: '/l', firmware: ['/f'] },
  });
  t.notOk(words.includes('-kernel'));
  t.ok(words.includes('if=pflash,format=raw,readonly=on,file=/fw'));
  t.ok(words.includes('name=opt/org.twinstep/config,file=/g,,c'));
  t.match(
    words.find((word) => word.startsWith('nvme,')),
    /,bootindex=0$/,
  );
  const nics = words.filter((word) => word.includes('mac='));
  t.equal(nics.length, NIC_ROLES.length);
  for (const nic of nics) t.match(nic, /,romfile=$/);
  t.ok(words.includes('pty,id=console,logfile=/log,logappend=on'));
  t.ok(words.some((word) => word.startsWith('usb-storage,')));
});

t.test('a comma in a name stays a part of it', async (t) => {
  const spec = { ...TWIN, board: { vendor: 'Boards, Inc.', product: 'X' } };
  t.ok(line(spec).includes('type=1,manufacturer=Boards,, Inc.,product=X,serial=TWA000001'));
});

t.test('the microcode revision is in the upper half of its register', async (t) => {
  const cpu = line(TWIN).find((word) => word.includes('ucode-rev='));
  t.match(cpu, /,ucode-rev=0x200700600000000,/, TWIN.cpu.microcode);
});

t.test('each mismatch changes the command line or the BMC, and nothing else of the spec', async (t) => {
  for (const what of MISMATCHES) {
    const other = mismatched(TWIN, what);
    const same = line(TWIN).join(' ') === line(other).join(' ');
    // Sizes of disks are in their files, the BMC's firmware in its own words.
    if (what === 'diskSize') t.not(other.disks.sata.sizeMiB, TWIN.disks.sata.sizeMiB);
    else if (what === 'bmcFirmware') t.notSame(bmcEmulation(other.bmc.firmware), bmcEmulation(TWIN.bmc.firmware));
    else t.notOk(same, what);
  }
  t.throws(() => parseMismatch('colour'), { message: /"colour"/, remedy: /biosVersion/ });
});

t.test('every NIC has an address of its own', async (t) => {
  const all = (['A', 'B'] as const).flatMap((name) => NIC_ROLES.map((role) => macOf(name, role)));
  t.equal(new Set(all).size, all.length);
});

t.test("the BMC's records are what our decoder of SDRs takes", async (t) => {
  const records = bmcEmulation(TWIN.bmc.firmware)
    .filter((command) => command.startsWith('main_sdr_add'))
    .map((command) => decodeSdr(Buffer.from(command.split(' ').slice(2).map(Number))));
  t.strictSame(
    records.map((record) => record.sensor?.name),
    ['CPU1 Temp', 'FAN1', 'P12V', 'PSU1 Status', 'PSU2 Status', 'DIMM A1 ECC'],
  );
});

t.test('a link carries while it is whole and both have power; the others need a switch only', async (t) => {
  let state = allWhole();
  state = { ...state, on: { A: true, B: false } };
  t.strictSame(carriers(state, 'A'), { link1: false, link2: false, mgmt0: true, lan0: true });
  state = { ...state, on: { A: true, B: true } };
  t.strictSame(carriers(state, 'A'), { link1: true, link2: true, mgmt0: true, lan0: true });
  state = withCable(state, 'A', 'link1', false);
  t.equal(carriers(state, 'B').link1, false, 'the other end of a pulled cable');
  state = withCable(state, 'A', 'lan0', false);
  t.equal(carriers(state, 'A').lan0, false);
  t.equal(carriers(state, 'B').lan0, true, 'a cable to a switch is one machine’s own');
});

t.test('every fault of the list has a recipe', async (t) => {
  t.strictSame(Object.keys(RECIPES).sort(), [...LAB_FAULT_NAMES].sort());
});
