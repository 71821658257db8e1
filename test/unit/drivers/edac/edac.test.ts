import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { FakeKmsg, FakeSysfs } from '../../../../drivers/edac/fake.ts';
import {
  decodeAer,
  decodeMceStatus,
  decodeMemory,
  decodeRecord,
  Edac,
  EdacError,
  hardwareMessage,
  mceText,
  openKernelLog,
} from '../../../../drivers/edac/index.ts';

const CASES_MIN = 10_000;
const MC = 'devices/system/edac/mc';

function onlyOwnError(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof EdacError)) throw error;
  }
}

t.test('memory by DIMM: labels, their absence, errors without a place', async (t) => {
  const fake = new FakeSysfs();
  t.teardown(() => fake.close());
  const edac = new Edac(fake);
  await t.rejects(edac.memory(), { name: 'EdacError', kind: 'absent', message: /no driver of the memory controller/ });
  fake.dimm(0, 0, 'DIMM A1', { corrected: 7 });
  fake.dimm(0, 10, 'mc#0memory#10');
  fake.dimm(0, 2, 'DIMM A3', { uncorrected: 1 });
  fake.dimm(1, 0, 'DIMM A1');
  // Many kernels show the same memory a second time, in the older way.
  fake.set(`${MC}/mc0/csrow0/ue_count`, 5);
  fake.set(`${MC}/mc0/ce_noinfo_count`, 3);
  fake.set(`${MC}/mc0/ue_noinfo_count`, 0);
  fake.set(`${MC}/mc1/ce_noinfo_count`, 0);
  t.same(await edac.memory(), [
    { where: 'DIMM A1 (mc0/dimm0)', corrected: 7, uncorrected: 0 },
    { where: 'DIMM A3', corrected: 0, uncorrected: 1 },
    { where: 'mc0/dimm10', corrected: 0, uncorrected: 0 },
    { where: 'mc0, place not known', corrected: 3, uncorrected: 0 },
    { where: 'DIMM A1 (mc1/dimm0)', corrected: 0, uncorrected: 0 },
  ]);
  fake.set(`${MC}/mc0/dimm0/dimm_ce_count`, 'seven');
  await t.rejects(edac.memory(), { kind: 'malformed', message: /mc0\/dimm0\/dimm_ce_count is no count: "seven"/ });
});

t.test('memory by rank, and by row and channel', async (t) => {
  const tree = new Map([
    ['mc0/rank1/dimm_label', 'CPU#0Channel#1_DIMM#0\n'],
    ['mc0/rank1/dimm_ce_count', '4\n'],
  ]);
  t.same(decodeMemory(tree), [{ where: 'CPU#0Channel#1_DIMM#0', corrected: 4, uncorrected: 0 }]);
  const rows = new Map([
    ['mc0/csrow2/ce_count', '9\n'],
    ['mc0/csrow2/ue_count', '2\n'],
    ['mc0/csrow2/ch0_ce_count', '8\n'],
    ['mc0/csrow2/ch1_ce_count', '1\n'],
    ['mc0/csrow2/ch1_dimm_label', 'DIMM B2\n'],
    ['mc0/csrow3/ce_count', '6\n'],
    ['mc0/csrow3/ue_count', '0\n'],
  ]);
  t.same(decodeMemory(rows), [
    { where: 'mc0/csrow2/ch0', corrected: 8, uncorrected: 0 },
    { where: 'DIMM B2', corrected: 1, uncorrected: 0 },
    { where: 'mc0/csrow2', corrected: 0, uncorrected: 2 },
    { where: 'mc0/csrow3', corrected: 6, uncorrected: 0 },
  ]);
});

t.test('PCIe: counts with what sits there; a device that goes away is left out', async (t) => {
  const fake = new FakeSysfs();
  t.teardown(() => fake.close());
  const edac = new Edac(fake);
  t.same(await edac.pcie(), []);
  fake.aer('0000:01:00.0', { corrected: 12, nonFatal: 1 });
  for (const [file, text] of [
    ['class', '0x020000'],
    ['vendor', '0x8086'],
    ['device', '0x1521'],
    ['net/link1/carrier', '1'],
  ] as const)
    fake.set(`bus/pci/devices/0000:01:00.0/${file}`, text);
  fake.link('bus/pci/devices/0000:01:00.0/driver', '../../../bus/pci/drivers/igb');
  fake.aer('0000:00:1c.0', { fatal: 2 });
  fake.set('bus/pci/devices/0000:00:1f.0/class', '0x060100');
  t.same(await edac.pcie(), [
    { where: '0000:00:1c.0 (device)', corrected: 0, nonFatal: 0, fatal: 2 },
    { where: '0000:01:00.0 (network 8086:1521 igb, link1)', corrected: 12, nonFatal: 1, fatal: 0 },
  ]);
  fake.remove('bus/pci/devices/0000:01:00.0/aer_dev_fatal');
  t.equal((await edac.pcie()).length, 1);
  t.equal(decodeAer('RxErr 3\nBadTLP 4\n', 'x'), 7, 'no total: the sum');
  for (const text of ['', 'RxErr', 'RxErr -1', 'RxErr 99999999999999999999']) t.throws(() => decodeAer(text, 'x'), EdacError, text);
});

t.test('heat and clock', async (t) => {
  const fake = new FakeSysfs();
  t.teardown(() => fake.close());
  const edac = new Edac(fake);
  t.same(await edac.cpu(), { throttled: null, clocksource: '' });
  fake.set('devices/system/clocksource/clocksource0/current_clocksource', 'tsc');
  fake.set('devices/system/cpu/cpu0/online', 1);
  t.same(await edac.cpu(), { throttled: null, clocksource: 'tsc' });
  for (const [cpu, core, whole, packageId] of [
    [0, 1, 10, 0],
    [1, 2, 10, 0],
    [2, 4, 20, 1],
    [10, 0, 20, 1],
  ]) {
    fake.set(`devices/system/cpu/cpu${cpu}/thermal_throttle/core_throttle_count`, core ?? 0);
    fake.set(`devices/system/cpu/cpu${cpu}/thermal_throttle/package_throttle_count`, whole ?? 0);
    fake.set(`devices/system/cpu/cpu${cpu}/topology/physical_package_id`, packageId ?? 0);
  }
  t.same(await edac.cpu(), { throttled: 37, clocksource: 'tsc' }, "each core's, and each package's once");
});

t.test('machine check status: bits and compound codes', async (t) => {
  t.same(decodeMceStatus(0x9c00000000000150n), {
    valid: true,
    overflow: false,
    corrected: true,
    enabled: true,
    addressValid: true,
    contextCorrupt: false,
    errorCode: 0x150,
    modelCode: 0,
    what: 'instruction cache level 0, instruction fetch',
  });
  t.equal(mceText(0xbd00000000000134n), 'uncorrected: data cache level 0, data read (status 0xbd00000000000134)');
  t.equal(
    mceText(0xfe00000000010091n),
    'uncorrected: memory controller, read, channel 1; more were lost; processor context corrupt (status 0xfe00000000010091)',
  );
  t.equal(mceText(0n), 'corrected: no error; not marked valid (status 0x0000000000000000)');
  for (const [code, what] of [
    [0x0005, 'internal parity error'],
    [0x0400, 'internal timer error'],
    [0x0405, 'internal unclassified error'],
    [0x000d, 'cache hierarchy, level 1'],
    [0x0014, 'data TLB, level 0'],
    [0x00cf, 'memory controller, scrub, channel not known'],
    [0x10a2, 'memory controller, write, channel 2'],
    [0x0292, 'memory as a cache, read, channel 2'],
    [0x017a, 'generic cache level 2, eviction'],
    [0x0e0b, 'I/O error'],
    [0x0f0f, 'bus or interconnect, generic, other, timed out, error, any level'],
    [0x0800, 'bus or interconnect, local request, memory, error, level 0'],
    [0x4000, 'error code not known'],
  ] as const)
    t.equal(decodeMceStatus(BigInt(code)).what, what, `0x${code.toString(16)}`);
});

t.test('what the kernel prints about faulty hardware', async (t) => {
  t.match(hardwareMessage('mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: 9c00000000000150'), {
    kind: 'machineCheck',
    check: { corrected: true, cpu: 3, bank: 5, text: /^corrected: instruction cache/ },
  });
  t.match(hardwareMessage('mce: [Hardware Error]: CPU 0: Machine Check Exception: 5 Bank 1: bd00000000000134'), {
    check: { corrected: false, cpu: 0, bank: 1 },
  });
  t.match(hardwareMessage('[Hardware Error]: CPU:17 (19:11:1) MC21_STATUS[Over|CE|MiscV|AddrV|-|CECC|-|-|-]: 0xdc2040000000011b'), {
    check: { corrected: true, cpu: 17, bank: 21, text: /more were lost/ },
  });
  t.same(hardwareMessage('mce: [Hardware Error]: Machine check events logged'), { kind: 'machineChecksLogged' });
  t.match(
    hardwareMessage(
      'EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x12345 offset:0x0 grain:32 syndrome:0x0)',
    ),
    { kind: 'memory', corrected: true, count: 1, where: 'CPU_SrcID#0_MC#0_Chan#1_DIMM#0' },
  );
  t.match(hardwareMessage('EDAC MC1: 2 UE on unknown memory (page:0x0)'), { corrected: false, count: 2, where: 'unknown memory' });
  for (const text of ['mce: [Hardware Error]: TSC 0 ADDR 12345000', 'mce: CPU0: Thermal monitoring enabled', 'EDAC MC: Ver: 3.0.0', ''])
    t.equal(hardwareMessage(text), null, text);
});

t.test('the log of a machine with errors put in', async (t) => {
  const file = join(import.meta.dirname, '../../../../drivers/edac/testdata/qemu-q35/machine-checks.txt');
  const said = readFileSync(file, 'utf8')
    .split('\n')
    .map(hardwareMessage)
    .filter((message) => message !== null);
  t.same(
    said.map((message) =>
      message.kind === 'machineCheck' ? `${message.check.cpu} ${message.check.bank} ${message.check.text}` : message.kind,
    ),
    [
      'machineChecksLogged',
      'machineChecksLogged',
      '1 5 corrected: memory controller, read, channel 1 (status 0x8c00004000010091)',
      '0 1 uncorrected: data cache level 0, data read (status 0xbd00000000000134)',
      '1 1 uncorrected: no error (status 0xa000000000000000)',
    ],
  );
});

t.test('records', async (t) => {
  t.same(decodeRecord('4,1234,5678901,-,caller=T1;a\\x0ab\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:1f.0\n'), {
    level: 4,
    sequence: 1234,
    timeUs: 5678901,
    text: 'a\nb',
  });
  t.equal(decodeRecord('190,1,2,c;x;y\n').level, 6, 'the facility is not the level');
  for (const record of ['', 'hello', '6,1;x', 'a,b,c,d;x']) t.throws(() => decodeRecord(record), EdacError, record);
});

t.test('the log: from the boot or from now, overruns, many records', async (t) => {
  const check = (status: string) => `mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 5: ${status}`;
  const kmsg = new FakeKmsg();
  kmsg.print(check('9c00000000000150'));
  const whole = await openKernelLog({ from: 'boot', open: () => kmsg });
  t.match(whole.poll(), { checks: [{ bank: 5 }], overruns: 0, more: false });
  t.same(whole.poll(), { checks: [], memory: [], disks: [], fileSystems: [], overruns: 0, more: false });
  for (let i = 0; i < 900; i++) kmsg.print(check('bd00000000000134'));
  const log = await openKernelLog({ from: 'now', open: () => kmsg });
  t.same(log.poll().checks, [], 'nothing old');
  kmsg.print('mce: [Hardware Error]: Machine check events logged');
  kmsg.raw('no record at all');
  kmsg.print('EDAC MC0: 1 CE memory read error on DIMM A1 (channel:1)');
  kmsg.print(check('bd00000000000134'));
  const news = log.poll();
  t.match(news, { checks: [{ corrected: false, bank: 5 }], memory: [{ where: 'DIMM A1' }] });
  t.equal(news.checks.length, 1, 'the announcement belongs to the detail');
  kmsg.print('mce: [Hardware Error]: Machine check events logged');
  t.match(log.poll().checks, [{ corrected: true, cpu: null, bank: null, text: /ras=cec_disable/ }], 'detail that never comes');
  for (let i = 0; i < 1_001; i++) kmsg.print(check('9c00000000000150'));
  const first = log.poll();
  t.match(first, { overruns: 1, more: true });
  let seen = first.checks.length;
  for (let news = log.poll(); news.checks.length > 0; news = log.poll()) seen += news.checks.length;
  t.equal(seen, 1_000, 'all that was left is read');
  log.close();
  t.ok(kmsg.isClosed);
});

t.test('a log that may not be read, or not any more', async (t) => {
  const fails = (code: string) => () => {
    throw Object.assign(new Error(code), { code });
  };
  await t.rejects(openKernelLog({ from: 'now', open: fails('EPERM') }), { kind: 'absent', message: /needs root/ });
  const log = await openKernelLog({ from: 'boot', open: () => ({ read: fails('EBADF'), close: () => {} }) });
  t.throws(() => log.poll(), { kind: 'unreadable', message: /cannot be read any more: EBADF/ });
});

t.test("this machine's own log", async (t) => {
  const log = await openKernelLog({ from: 'now' });
  t.teardown(() => log.close());
  t.equal(log.poll().more, false, 'it was skipped to its end');
});

t.test('whatever the kernel prints: readings, or EdacError', async () => {
  const name = fc.constantFrom(
    'mc0',
    'mc1',
    'dimm0',
    'rank3',
    'csrow2',
    'ch0_ce_count',
    'ue_count',
    'dimm_ce_count',
    'dimm_label',
    'ce_noinfo_count',
    '',
  );
  const text = fc.oneof(fc.nat().map(String), fc.string(), fc.constantFrom('-1', '18446744073709551615', 'mc#0x', '\u001b[2J'));
  const tree = fc
    .array(
      fc.tuple(
        fc.array(name, { maxLength: 4 }).map((parts) => parts.join('/')),
        text,
      ),
    )
    .map((entries) => new Map(entries));
  fc.assert(
    fc.property(tree, (files) => onlyOwnError(() => decodeMemory(files))),
    { numRuns: CASES_MIN },
  );
  const aer = fc
    .array(fc.tuple(fc.constantFrom('RxErr', 'TOTAL_ERR_COR', '', ' '), text).map((pair) => pair.join(' ')))
    .map((l) => l.join('\n'));
  fc.assert(
    fc.property(aer, (lines) => onlyOwnError(() => decodeAer(lines, 'x'))),
    { numRuns: CASES_MIN },
  );
  const piece = fc.constantFrom(
    'mce: [Hardware Error]: ',
    'CPU 0: Machine Check: 0 Bank 5: ',
    'CPU:1 (1:1:1) MC2_STATUS[Over]: 0x',
    'ff',
    'EDAC MC0: ',
    '1 CE ',
    ' on ',
    ' (',
    ',-;',
    '6,1,2',
  );
  const line = fc.array(fc.oneof(piece, fc.string({ maxLength: 8 })), { maxLength: 8 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(line, (record) => {
      hardwareMessage(record);
      onlyOwnError(() => decodeRecord(record));
    }),
    { numRuns: CASES_MIN },
  );
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      (status) => mceText(status).length < 200 && decodeMceStatus(status).what !== '',
    ),
    { numRuns: CASES_MIN },
  );
});
