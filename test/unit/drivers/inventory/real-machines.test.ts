// SMBIOS tables and /proc/cpuinfo of real servers (testdata), through the reader.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeCpuinfo, decodeSmbios } from '../../../../drivers/inventory/index.ts';

const TESTDATA = join(import.meta.dirname, '../../../../drivers/inventory/testdata');
const smbiosOf = (machine: string) =>
  decodeSmbios(readFileSync(join(TESTDATA, machine, 'smbios.dmi')), readFileSync(join(TESTDATA, machine, 'entry-point.bin')));
const cpusOf = (machine: string) => decodeCpuinfo(readFileSync(join(TESTDATA, machine, 'cpuinfo.txt'), 'utf8'));
/** As testdata/README.md says. */
const UUID = '13121110-1514-1716-1819-1a1b1c1d1e1f';
const GIB = 1 << 30;

t.test('Dell PowerEdge 1800: SMBIOS 2.3, a small server', async (t) => {
  const { memory, ...machine } = smbiosOf('dell-poweredge-1800');
  t.same(machine, {
    version: '2.3',
    system: { vendor: 'Dell Computer Corporation', product: 'PowerEdge 1800', version: null, serial: 'S1SSS1S', uuid: UUID },
    board: { vendor: 'Dell Computer Corporation', product: '0P8611', version: 'A04', serial: '..SS1111111S1111.' },
    bios: { vendor: 'Dell Computer Corporation', version: 'A05', date: '2005-09-21' },
    processors: [{ socket: 'PROC_1', model: null, cores: null, threads: null }],
    damage: null,
  });
  t.match(memory, { ecc: true, slots: 6, installedBytes: GIB });
  t.same(
    memory.dimms.map(({ slot, sizeBytes, partNumber, speedMtPerS }) => [slot, sizeBytes, partNumber, speedMtPerS]),
    [
      ['DIMM1_A', GIB / 2, '72T64001HR5A', 400],
      ['DIMM1_B', GIB / 2, '72T64001HR5A', 400],
    ],
    'four empty slots are none',
  );
});

t.test('HP ProLiant DL580 G5: SMBIOS 2.5, no board is told', async (t) => {
  const { memory, ...machine } = smbiosOf('hp-proliant-dl580-g5');
  t.match(machine, {
    version: '2.5',
    system: { vendor: 'HP', product: 'ProLiant DL580 G5', serial: 'SSS111SSSS' },
    board: { vendor: null, product: null, version: null, serial: null },
    bios: { vendor: 'HP', version: 'P61', date: '2007-12-07' },
    damage: null,
  });
  t.same(
    machine.processors.map(({ socket, cores, threads }) => [socket, cores, threads]),
    [1, 2, 3, 4].map((n) => [`Proc ${n}`, 4, 4]),
  );
  t.match(memory, { ecc: true, slots: 32, installedBytes: 36 * GIB });
  t.equal(memory.dimms.length, 12);
});

t.test('IBM x3950 M2: SMBIOS 2.4, slots of the same name in four cards', async (t) => {
  const { memory, ...machine } = smbiosOf('ibm-x3950-m2');
  t.match(machine, {
    version: '2.4',
    system: { vendor: 'IBM', product: 'IBM 3850 M2 / x3950 M2 -[71413RM]-', serial: '11S1111', uuid: UUID },
    bios: { vendor: 'IBM', version: '-[A3E148AUS-1.07]-', date: '2008-11-05' },
    damage: null,
  });
  t.same(machine.processors[0], { socket: 'Node 1 CPU 3', model: 'Intel Xeon MP', cores: 4, threads: 4 });
  t.equal(machine.processors.length, 4);
  t.match(memory, { ecc: true, slots: 32, installedBytes: 48 * GIB });
  t.equal(memory.dimms.length, 18);
  t.same(
    memory.dimms.slice(0, 4).map(({ slot, bank }) => `${slot} ${bank}`),
    ['DIMM1 Node1/Bank1/MemCard1', 'DIMM1 Node1/Bank5/MemCard2', 'DIMM1 Node1/Bank9/MemCard3', 'DIMM1 Node1/Bank13/MemCard4'],
  );
});

t.test('/proc/cpuinfo: two sockets of eight cores, four of ten', async (t) => {
  const two = cpusOf('dell-dcs8000z');
  t.match(two, {
    vendor: 'GenuineIntel',
    model: 'Intel(R) Xeon(R) CPU E5-2680 0 @ 2.70GHz',
    family: 6,
    modelNumber: 45,
    stepping: 7,
    microcode: null,
    sockets: 2,
    cores: 16,
    threads: 16,
    smt: false,
    mixed: [],
  });
  t.equal(two.flags?.length, 76);
  t.ok(two.flags?.includes('vmx'));
  t.match(cpusOf('dell-poweredge-r910'), { modelNumber: 47, stepping: 2, sockets: 4, cores: 40, threads: 40, smt: false, mixed: [] });
});
