import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import { FakeMachine, type FakeMachineKnobs, smbiosTable } from '../../../../drivers/inventory/fake.ts';
import {
  decodeCpuinfo,
  decodeEntryPoint,
  decodeInventory,
  decodeSmbios,
  type Inventory,
  InventoryError,
  type MachineFiles,
  readInventory,
  readSummary,
} from '../../../../drivers/inventory/index.ts';

const CASES_MIN = 10_000;
const TESTDATA = join(import.meta.dirname, '../../../../drivers/inventory/testdata');
const NOTHING: MachineFiles = { files: new Map(), links: new Map(), folders: new Map(), smbiosTable: null, smbiosEntryPoint: null };

/** '' and NaN never stand for "not known". */
function assertNoEmptyValues(value: unknown, path = ''): void {
  if (value === '' || value === undefined || (typeof value === 'number' && !Number.isSafeInteger(value)))
    throw new Error(`${path} is ${value}`);
  if (typeof value === 'object' && value !== null)
    for (const [key, held] of Object.entries(value)) assertNoEmptyValues(held, `${path}.${key}`);
}

async function inventoryOf(knobs: FakeMachineKnobs = {}): Promise<Inventory> {
  const machine = new FakeMachine(knobs);
  try {
    return await readInventory(machine);
  } finally {
    machine.close();
  }
}

t.test('a whole machine', async (t) => {
  const machine = new FakeMachine();
  t.teardown(() => machine.close());
  const nicDrivers = new Map([['link1', { driver: 'igb', version: '5.6.0-k', firmware: '1.63, 0x800009fb', bus: '0000:01:00.0' }]]);
  const bmc = { vendor: 'Twintest', product: null, firmware: '2.86' };
  const inventory = await readInventory({ root: machine.root, nicDrivers, bmc, kvmUsable: true });
  t.same(inventory.system, {
    vendor: 'Twintest Inc.',
    product: 'TwinServer 2',
    version: null,
    serial: 'T0001',
    uuid: '04030201-0605-0807-090a-0b0c0d0e0f10',
  });
  t.same(inventory.board, { vendor: 'Twintest Inc.', product: '0TW1N', version: 'A01', serial: null });
  t.same(inventory.bios, { vendor: 'Twintest Inc.', version: '2.19.1', date: '2025-03-24' });
  t.same(inventory.cpu, {
    vendor: 'GenuineIntel',
    model: 'Twintest 6430',
    family: 6,
    modelNumber: 143,
    stepping: 8,
    microcode: '0x2b000639',
    flags: ['avx512f', 'constant_tsc', 'nonstop_tsc', 'tsc', 'vmx'],
    sockets: 2,
    cores: 2,
    threads: 4,
    smt: true,
    mixed: [],
  });
  const dimm = {
    bank: 'BANK 0',
    sizeBytes: 32 * 2 ** 30,
    type: 'DDR5',
    speedMtPerS: 4800,
    configuredMtPerS: 4400,
    ecc: true,
    ranks: 2,
    vendor: 'Twintest',
    partNumber: 'M1',
  };
  t.same(inventory.memory, {
    totalBytes: 65536000 * 1024,
    ecc: true,
    slots: 3,
    installedBytes: 64 * 2 ** 30,
    dimms: [
      { slot: 'A2', serial: 'S-A2', ...dimm },
      { slot: 'A10', serial: 'S-A10', ...dimm },
    ],
  });
  t.same(
    inventory.nics.map(({ name, bus, firmware, driver, driverVersion }) => ({ name, bus, firmware, driver, driverVersion })),
    [
      { name: 'link1', bus: '0000:01:00.0', firmware: '1.63, 0x800009fb', driver: 'igb', driverVersion: '5.6.0-k' },
      { name: 'link2', bus: '0000:01:00.1', firmware: null, driver: 'igb', driverVersion: null },
    ],
    'by bus; the bridge is no device',
  );
  t.same(inventory.nics[0]?.pci, { vendor: '8086', device: '1521', subsystemVendor: '1028', subsystemDevice: '0716', revision: '01' });
  t.match(inventory.nics[0], { mac: '52:54:00:00:00:01', speedMbps: 1000, mtuBytes: 9000 });
  t.match(inventory.storageControllers, [
    { bus: '0000:00:17.0', class: '0106', driver: 'ahci' },
    { bus: '0000:00:1b.0', class: '0107', driver: 'mpt3sas' },
    { bus: '0000:65:00.0', class: '0108', driver: 'nvme' },
  ]);
  t.same(inventory.disks, [
    {
      name: '/dev/nvme0n1',
      model: 'TWINTEST NVME1000',
      firmware: 'TN01',
      serial: 'NVM0001',
      sizeBytes: 3840755982336,
      logicalBlockBytes: 512,
      physicalBlockBytes: 4096,
      rotational: false,
      writeCache: 'write through',
    },
  ]);
  t.same(inventory.bmc, bmc);
  t.same(inventory.watchdogs, [{ device: '/dev/watchdog0', identity: 'iTCO_wdt' }]);
  t.same(inventory.tsc, { constant: true, nonstop: true, clocksource: 'tsc', stable: true });
  t.same(inventory.iommu, { units: 1 });
  t.same(inventory.virtualization, { extension: 'vmx', kvmDevice: true, usable: true });
  t.same(inventory.kernel, { release: '6.12.48-amd64' });
  t.same(inventory.unreadable, []);
  assertNoEmptyValues(inventory);
});

t.test('captured machines', async (t) => {
  const captured = (machine: string, file: string) => readFileSync(join(TESTDATA, machine, file));
  const read = (machine: string) => decodeSmbios(captured(machine, 'smbios.dmi'), captured(machine, 'entry-point.bin'));
  const xeon = read('qemu-q35-xeon');
  t.match(xeon, {
    version: '2.8',
    damage: null,
    system: {
      vendor: 'Twintest Inc.',
      product: 'TwinServer R1',
      version: 'A',
      serial: 'T0001',
      uuid: '11223344-5566-7788-99aa-bbccddeeff00',
    },
    board: { vendor: 'Twintest Inc.', product: '0TW1N', version: 'A01', serial: 'B0001' },
    bios: { vendor: 'Twintest Inc.', version: '2.10.2', date: '2024-08-07' },
    processors: [
      { socket: 'CPU 0', model: 'Twintest CPU 6148', cores: 1, threads: 1 },
      { socket: 'CPU 1', model: 'Twintest CPU 6148', cores: 1, threads: 1 },
    ],
    memory: { ecc: true, slots: 1, installedBytes: 1500 * 2 ** 20, dimms: [{ slot: 'DIMM A 0', partNumber: 'TW16G', speedMtPerS: 2933 }] },
  });
  const epyc = read('qemu-q35-epyc');
  t.match(epyc, {
    version: '3.0',
    system: { vendor: null, product: null },
    bios: { date: '2021-05-19' },
    processors: [
      { cores: 2, threads: 4 },
      { cores: 2, threads: 4 },
    ],
    memory: {
      slots: 1,
      installedBytes: 20 * 2 ** 30,
      dimms: [{ slot: 'DIMM 0', sizeBytes: 20 * 2 ** 30, vendor: null, partNumber: 'TW32U' }],
    },
  });
  const cpus = (machine: string) => decodeCpuinfo(captured(machine, 'cpuinfo.txt').toString());
  t.match(cpus('qemu-q35-xeon'), {
    vendor: 'GenuineIntel',
    family: 6,
    modelNumber: 85,
    stepping: 4,
    sockets: 2,
    cores: 2,
    threads: 2,
    smt: false,
  });
  t.match(cpus('qemu-q35-epyc'), {
    vendor: 'AuthenticAMD',
    family: 23,
    modelNumber: 49,
    sockets: 2,
    cores: 4,
    threads: 8,
    smt: true,
    mixed: [],
  });
});

t.test('twins are equal, and each difference shows where it is', async (t) => {
  const one = await inventoryOf();
  t.same(await inventoryOf(), one);
  t.equal(JSON.stringify(await inventoryOf()), JSON.stringify(one), 'to the byte');
  const differ = async (knobs: FakeMachineKnobs): Promise<string[]> => {
    const other = await inventoryOf(knobs);
    return (Object.keys(one) as (keyof Inventory)[]).filter((key) => JSON.stringify(one[key]) !== JSON.stringify(other[key]));
  };
  t.same(await differ({ biosVersion: '2.19.2' }), ['bios']);
  t.same(await differ({ biosDate: '03/25/2025' }), ['bios']);
  t.same(await differ({ cpuModel: 'Twintest 6434' }), ['cpu']);
  t.same(await differ({ microcode: '0x2b000640' }), ['cpu']);
  t.same(await differ({ flags: 'vmx tsc constant_tsc avx512f' }), ['cpu', 'tsc']);
  t.same(await differ({ dimmMib: 16_384 }), ['memory']);
  t.same(await differ({ dimmPart: 'M2' }), ['memory']);
  t.same(await differ({ nicDevice: '1533' }), ['nics']);
  t.same(await differ({ diskSectors: 1 }), ['disks']);
  t.same(await differ({ diskFirmware: 'TN02' }), ['disks']);
  t.same(await differ({ clocksource: 'hpet' }), ['tsc']);
  t.match((await inventoryOf({ clocksource: 'hpet' })).tsc, { constant: true, nonstop: true, stable: false });
});

t.test('what is missing is null, and named', async (t) => {
  const empty = decodeInventory(NOTHING);
  assertNoEmptyValues(empty);
  t.match(empty.unreadable, [/SMBIOS: .*needs root/, /describes no CPU/]);
  t.match(empty, { iommu: { units: null }, tsc: { stable: null }, virtualization: { extension: null, kvmDevice: null, usable: null } });
  const machine = new FakeMachine();
  t.teardown(() => machine.close());
  machine.set('proc/cpuinfo', 'processor : 0\nmicrocode : 0x1\nmodel name : \n\nprocessor : 1\nmicrocode : 0x2\n');
  machine.remove('sys/class/iommu/dmar0');
  machine.remove('dev/kvm');
  machine.set('sys/class/net/link1/carrier', '0\n');
  const { cpu, iommu, virtualization, nics } = await readInventory(machine);
  t.match(cpu, { microcode: null, model: null, threads: 2, cores: null, smt: null });
  t.same(cpu.mixed, ['microcode', 'model name'], 'CPUs of one machine that differ');
  t.match({ iommu, virtualization }, { iommu: { units: 0 }, virtualization: { kvmDevice: false, usable: null } });
  t.equal(nics[0]?.speedMbps, null);
});

t.test('disks behind SCSI: the whole name of an ATA disk, the serial number of the others', async (t) => {
  const machine = new FakeMachine();
  t.teardown(() => machine.close());
  const swapped = (text: string, bytes: number) => Buffer.from(text.padEnd(bytes), 'latin1').swap16();
  const page = Buffer.alloc(572);
  page[1] = 0x89;
  swapped('HDD0001', 20).copy(page, 60 + 20);
  swapped('TN77', 8).copy(page, 60 + 46);
  swapped('TWINTEST HDD4000 WITH A LONG NAME', 40).copy(page, 60 + 54);
  machine.set('sys/block/sda/device/vpd_pg89', page);
  machine.set('sys/block/sda/device/vendor', 'ATA     \n');
  machine.set('sys/block/sda/device/model', 'TWINTEST HDD4000\n');
  machine.set('sys/block/sdb/device/vendor', 'TWINTEST\n');
  machine.set('sys/block/sdb/device/model', 'SAS0600\n');
  machine.set('sys/block/sdb/device/rev', 'A31A\n');
  machine.set('sys/block/sdb/device/vpd_pg80', Buffer.from('\0\x80\0\x08SAS0001 ', 'latin1'));
  const disks = (await readInventory(machine)).disks.filter(({ name }) => name.startsWith('/dev/sd'));
  t.match(disks, [
    {
      name: '/dev/sda',
      model: 'TWINTEST HDD4000 WITH A LONG NAME',
      firmware: 'TN77',
      serial: 'HDD0001',
      sizeBytes: null,
      rotational: null,
    },
    { name: '/dev/sdb', model: 'TWINTEST SAS0600', firmware: 'A31A', serial: 'SAS0001', writeCache: null },
  ]);
});

t.test('SMBIOS: sizes, dates, placeholders, short structures, damage', async (t) => {
  const device = (fields: { at: number; bytes: number; value: number }[], length = 0x5c) =>
    decodeSmbios(smbiosTable([{ type: 17, length, fields }]), null).memory.dimms[0];
  const size = (value: number) => ({ at: 0x0c, bytes: 2, value });
  t.equal(device([size(512)])?.sizeBytes, 512 * 2 ** 20);
  t.equal(device([size(0x8000 + 512)])?.sizeBytes, 512 * 1024, 'in KiB');
  t.equal(device([size(0x7fff), { at: 0x1c, bytes: 4, value: 262_144 }])?.sizeBytes, 256 * 2 ** 30);
  t.equal(device([size(0xffff)])?.sizeBytes, null);
  t.equal(device([size(1), { at: 0x15, bytes: 2, value: 0xffff }, { at: 0x54, bytes: 4, value: 66_000 }])?.speedMtPerS, 66_000);
  t.match(device([size(1), { at: 0x08, bytes: 2, value: 72 }, { at: 0x0a, bytes: 2, value: 64 }]), { ecc: true });
  t.match(device([size(1)], 0x0e), { ecc: null, speedMtPerS: null, type: null, partNumber: null }, 'of an older version');
  const bios = (date: string, version = '1.0') =>
    decodeSmbios(
      smbiosTable([{ type: 0, length: 0x12, fields: [5, 8].map((at, i) => ({ at, bytes: 1, value: i + 1 })), strings: [version, date] }]),
      null,
    ).bios;
  t.equal(bios('11/08/2016').date, '2016-11-08', 'the month comes first');
  t.equal(bios('11/08/99').date, '1999-11-08');
  for (const date of ['13/01/2016', '2016-11-08', '', 'x']) t.equal(bios(date).date, null, date);
  for (const text of ['To Be Filled By O.E.M.', 'Default string', 'Not Specified', '   ', '0', '................', 'N/A'])
    t.equal(bios('', text).version, null, text);
  const whole = smbiosTable([
    { type: 0, length: 0x12, fields: [{ at: 5, bytes: 1, value: 1 }], strings: ['1.0'] },
    { type: 16, length: 0x0f, fields: [] },
  ]);
  const cut = decodeSmbios(whole.subarray(0, whole.length - 12), null);
  t.match(cut, { bios: { version: '1.0' }, damage: /damaged at byte 23 \(structure of type 16, 15 bytes\)/ });
  const device512 = { type: 17, length: 0x28, fields: [size(512)] };
  const array = { type: 16, length: 0x17, handle: 0, fields: [{ at: 0x05, bytes: 1, value: 3 }] };
  const two = smbiosTable([array, device512, device512]);
  t.equal(decodeSmbios(two, null).memory.installedBytes, 2 ** 30);
  const half = decodeSmbios(two.subarray(0, two.length - 12), null).memory;
  t.match(half, { installedBytes: null, slots: null, ecc: null, dimms: [{ sizeBytes: 2 ** 29 }] }, 'half of the memory is not all of it');
  t.throws(() => decodeSmbios(Buffer.alloc(0), null), /table is empty/);
  t.throws(() => decodeSmbios(Buffer.alloc(64), null), /damaged at byte 0/);
});

t.test('entry points', async (t) => {
  const entry = Buffer.alloc(24);
  entry.write('_SM3_');
  entry.set([0, 24, 3, 7], 5);
  entry[5] = (256 - entry.reduce((sum, value) => (sum + value) & 0xff, 0)) & 0xff;
  t.equal(decodeEntryPoint(entry), '3.7');
  entry[8] = 6;
  t.throws(() => decodeEntryPoint(entry), /checksum/);
  for (const bytes of [Buffer.alloc(0), Buffer.from('_SM_'), Buffer.from('_DMI_'), Buffer.from('_SM3_\0\xff\x03\x07')])
    t.throws(() => decodeEntryPoint(bytes), InventoryError);
});

t.test('this machine', async (t) => {
  const inventory = await readInventory();
  assertNoEmptyValues(inventory);
  t.match(inventory.cpu, { threads: Number, flags: Array });
  t.match(inventory.kernel.release, /^\d+\.\d+/);
});

t.test('the summary is for a worker', async (t) => {
  await t.rejects(readSummary(), /call it in a worker/);
  const module = new URL('../../../../drivers/inventory/index.ts', import.meta.url).href;
  const code = `import('${module}').then(async (m) => require('node:worker_threads').parentPort.postMessage(await m.readSummary()))`;
  const worker = new Worker(code, { eval: true });
  const summary = await new Promise<unknown>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  assertNoEmptyValues(summary);
  t.match(summary, { system: String, memoryBytes: Number, uptimeS: Number });
});

t.test('whatever firmware and kernel say: an inventory, or InventoryError', async () => {
  const onlyOwnError = (action: () => unknown): void => {
    try {
      assertNoEmptyValues(action());
    } catch (error) {
      if (!(error instanceof InventoryError)) throw error;
    }
  };
  const field = fc.record({ at: fc.integer({ min: 4, max: 0x58 }), bytes: fc.constantFrom(1, 2, 4), value: fc.nat(255) });
  const structure = fc.record({
    type: fc.constantFrom(0, 1, 2, 4, 16, 17, 99),
    length: fc.constantFrom(0x5c, 0x5c, 0x28),
    fields: fc.array(field, { maxLength: 12 }).map((fields) => fields.filter(({ at, bytes }) => at + bytes <= 0x28)),
    strings: fc.array(fc.string({ minLength: 1, maxLength: 6 }), { maxLength: 3 }),
  });
  const tables = fc.array(structure, { maxLength: 5 }).map(smbiosTable);
  const damaged = fc.tuple(tables, fc.nat(), fc.nat(255), fc.nat()).map(([table, at, value, cut]) => {
    const bytes = Buffer.from(table);
    bytes[at % bytes.length] = value;
    return bytes.subarray(0, cut % 3 === 0 ? cut % bytes.length : bytes.length);
  });
  const table = fc.oneof(fc.uint8Array({ maxLength: 200 }), tables, damaged);
  fc.assert(
    fc.property(table, fc.option(fc.uint8Array({ maxLength: 40 })), (bytes, entry) => {
      onlyOwnError(() => decodeSmbios(bytes, null));
      if (entry !== null) onlyOwnError(() => decodeEntryPoint(entry));
    }),
    { numRuns: CASES_MIN },
  );
  const name = fc.constantFrom('processor', 'physical id', 'core id', 'model', 'stepping', 'flags', 'microcode', '', '__proto__');
  const value = fc.oneof(fc.nat().map(String), fc.string(), fc.constantFrom('0', '-1', '99999999999999999999', 'vmx tsc'));
  const cpuinfo = fc
    .array(
      fc.oneof(
        fc.tuple(name, value).map(([k, v]) => `${k}\t: ${v}`),
        fc.constant(''),
      ),
    )
    .map((lines) => lines.join('\n'));
  fc.assert(
    fc.property(cpuinfo, (text) => onlyOwnError(() => decodeCpuinfo(text))),
    { numRuns: CASES_MIN },
  );
  const folder = fc.constantFrom(
    'sys/class/net/eth0',
    'sys/block/sda',
    'sys/bus/pci/devices/0000:01:00.0',
    'sys/class/watchdog/watchdog0',
    'proc',
  );
  const file = fc.constantFrom(
    'address',
    'carrier',
    'speed',
    'mtu',
    'size',
    'class',
    'vendor',
    'device',
    'device/vendor',
    'device/model',
    'device/vpd_pg89',
    'device/vpd_pg80',
    'queue/rotational',
    'queue/write_cache',
    'queue/logical_block_size',
    'identity',
    'meminfo',
    'cpuinfo',
  );
  const content = fc.oneof(value, fc.constantFrom('0x010601', '0x8086', '1', 'write back', `\0\x89${'\0x'.repeat(400)}`));
  const files = fc
    .array(fc.tuple(folder, file, content), { maxLength: 12 })
    .map((list) => new Map(list.map(([f, n, text]) => [`${f}/${n}`, text])));
  const folders = new Map<string, string[]>([
    ['sys/class/net', ['eth0']],
    ['sys/class/net/eth0/device', ['vendor']],
    ['sys/block', ['sda']],
    ['sys/block/sda/device', ['model']],
    ['sys/bus/pci/devices', ['0000:01:00.0']],
    ['sys/class/watchdog', ['watchdog0']],
  ]);
  const links = fc.option(value, { nil: '0000:01:00.0' }).map((target) => new Map([['sys/class/net/eth0/device', target]]));
  fc.assert(
    fc.property(files, links, fc.option(table), (some, where, bytes) =>
      assertNoEmptyValues(decodeInventory({ ...NOTHING, files: some, links: where, folders, smbiosTable: bytes })),
    ),
    { numRuns: CASES_MIN },
  );
});
