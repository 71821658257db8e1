import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { FakeSmartctl } from '../../../../drivers/smart/fake.ts';
import { decodeSmart, Smart, SmartError, type SmartErrorKind, smartctlArguments } from '../../../../drivers/smart/index.ts';

const TESTDATA = join(import.meta.dirname, '../../../../drivers/smart/testdata');
const printed = (name: string) => readFileSync(join(TESTDATA, `${name}.json`), 'utf8');
const CASES_MIN = 10_000;

function errorKind(action: () => unknown): SmartErrorKind | null {
  try {
    action();
    return null;
  } catch (error) {
    if (error instanceof SmartError) return error.kind;
    throw error;
  }
}

t.test('ATA: a healthy disk, one that dies, and counts that share a number', async (t) => {
  t.same(decodeSmart(printed('ata-hdd-healthy'), '/dev/sda'), {
    disk: '/dev/sda',
    model: 'TWINTEST HDD4000',
    serial: 'HDD0001',
    kind: 'ata',
    passed: true,
    temperatureC: 31,
    reallocatedSectors: 0,
    pendingSectors: 0,
    uncorrectedErrors: 0,
    interfaceErrors: 0,
    percentUsed: null,
    availableSparePercent: null,
    spareThresholdPercent: null,
    criticalWarnings: [],
    failingAttributes: [],
    selfTestFailed: false,
    powerOnHours: 21002,
  });
  const failing = decodeSmart(printed('ata-hdd-failing'), '/dev/sda');
  t.match(failing, { passed: false, reallocatedSectors: 1975, pendingSectors: 8, uncorrectedErrors: 6, interfaceErrors: 12 });
  t.match(failing, { failingAttributes: ['5 Reallocated_Sector_Ct'], selfTestFailed: true });
  const composite = decodeSmart(printed('ata-hdd-composite-counts'), '/dev/sda');
  t.equal(composite.reallocatedSectors, 8, '"8 (0 2)", not 8589934600');
  t.equal(composite.pendingSectors, null, 'an id whose name says something else');
  t.same(composite.failingAttributes, [], 'what failed in the past does not fail now');
  t.equal(composite.selfTestFailed, false, 'an empty log: by the last status');
});

t.test('ATA: an SSD tells how much of it is used', async (t) => {
  t.match(decodeSmart(printed('ata-ssd'), '/dev/sda'), {
    percentUsed: 19,
    pendingSectors: null,
    interfaceErrors: 108,
    uncorrectedErrors: 0,
  });
});

t.test('SAS', async (t) => {
  t.match(decodeSmart(printed('sas-self-test-failed'), '/dev/sdb'), {
    kind: 'scsi',
    model: 'TWINTEST SAS0600',
    passed: true,
    temperatureC: 27,
    reallocatedSectors: 4,
    pendingSectors: 3,
    uncorrectedErrors: 3,
    interfaceErrors: null,
    selfTestFailed: true,
    powerOnHours: 22364,
  });
});

t.test('NVMe: warnings in words; a virtual one that fills in no spare is not worn out', async (t) => {
  const healthy = decodeSmart(printed('nvme-healthy'), '/dev/nvme0');
  t.match(healthy, { passed: true, availableSparePercent: 100, spareThresholdPercent: 10, percentUsed: 3, selfTestFailed: false });
  t.same(healthy.criticalWarnings, []);
  const failing = decodeSmart(printed('nvme-failing'), '/dev/nvme0');
  t.match(failing, { passed: false, availableSparePercent: 4, percentUsed: 121, uncorrectedErrors: 77, selfTestFailed: true });
  t.same(failing.criticalWarnings, [
    'spare blocks are below the threshold',
    'reliability is degraded by media or internal errors',
    'media is read-only',
  ]);
  const none = '"available_spare": 0, "available_spare_threshold": 0';
  const virtual = printed('nvme-healthy').replace(/"available_spare": 100,\s*"available_spare_threshold": 10/, none);
  t.match(decodeSmart(virtual, '/dev/nvme0'), { availableSparePercent: null, spareThresholdPercent: null });
  const empty = virtual.replace('"critical_warning": 0', '"critical_warning": 1');
  t.match(decodeSmart(empty, '/dev/nvme0'), { availableSparePercent: 0, spareThresholdPercent: 0 }, 'the warning says that it is meant');
});

t.test("QEMU's disks", async (t) => {
  t.match(decodeSmart(printed('qemu-nvme'), '/dev/nvme0'), {
    kind: 'nvme',
    model: 'QEMU NVMe Ctrl',
    serial: 'NVM0001',
    passed: true,
    temperatureC: 50,
    availableSparePercent: null,
    criticalWarnings: [],
  });
  t.match(decodeSmart(printed('qemu-ata'), '/dev/sda'), {
    kind: 'ata',
    model: 'TWINTEST ATA DISK WITH LONG NAME',
    passed: true,
    reallocatedSectors: 0,
    failingAttributes: [],
  });
  t.throws(() => decodeSmart(printed('qemu-scsi'), '/dev/sdb'), { kind: 'unsupported', message: /TWINTEST SCSI0600.*no SMART/ });
  t.throws(() => decodeSmart(printed('no-such-disk'), '/dev/sdc'), { kind: 'unreadable', message: /The disk is gone/ });
});

t.test('the exit status: failing without a word, and what cannot be read', async (t) => {
  const silent = JSON.parse(printed('ata-hdd-healthy')) as Record<string, { exit_status: number }>;
  delete silent.smart_status;
  t.equal(decodeSmart(JSON.stringify(silent), '/dev/sda').passed, null);
  if (silent.smartctl) silent.smartctl.exit_status = 8;
  t.equal(decodeSmart(JSON.stringify(silent), '/dev/sda').passed, false);
  const kind = (output: string) => errorKind(() => decodeSmart(output, '/dev/sda'));
  t.equal(kind(printed('virtio-disk')), 'unsupported');
  t.equal(kind(printed('refused')), 'refused');
  t.throws(() => decodeSmart(printed('refused'), '/dev/sda'), /\/dev\/sda .*Permission denied.* needs root/);
  for (const garbage of [
    '',
    'smartctl 6.6 2017',
    '[]',
    '{}',
    'null',
    '{"smartctl":{}}',
    '{"smartctl":{"exit_status":"0"}}',
    '{"smartctl":[]}',
  ])
    t.equal(kind(garbage), 'garbage', garbage);
  t.throws(() => decodeSmart('\u001b[2Jhello', '/dev/sda'), /not JSON: "\[2Jhello"/, 'nothing that moves a cursor');
  const volume = '{"smartctl":{"exit_status":4},"device":{"protocol":"SCSI"},"scsi_model_name":"RAID 1 Volume"}';
  t.equal(kind(volume), 'unsupported', 'a volume that answers nothing is no sick disk');
  t.equal(kind('{"smartctl":{"exit_status":0},"device":{"protocol":"MMC"}}'), 'unsupported');
});

t.test('paths and types are checked before a program sees them', async (t) => {
  t.same(smartctlArguments('/dev/sda', 'megaraid,3').slice(-2), ['--device=megaraid,3', '/dev/sda']);
  for (const path of ['', '-a', 'sda', '/dev/-x', '/dev/sd a', '/etc/passwd', '/dev/sda\n'])
    t.equal(
      errorKind(() => smartctlArguments(path, null)),
      'refused',
      path,
    );
  t.equal(
    errorKind(() => smartctlArguments('/dev/sda', '-x')),
    'refused',
  );
});

t.test('whatever is printed: a reading, or SmartError', async (t) => {
  const samples = ['ata-hdd-failing', 'ata-ssd', 'sas-self-test-failed', 'nvme-failing', 'refused'].map(printed);
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(-1, 1.5, 1e300, '', 'now', [], {}, null, '__proto__'));
  let readings = 0;
  const holds = (output: string): void => {
    const kind = errorKind(() => {
      const reading = decodeSmart(output, '/dev/sda');
      readings += 1;
      for (const [key, held] of Object.entries(reading)) {
        if (typeof held === 'number' && !Number.isSafeInteger(held)) t.fail(`${key} is ${held}`);
        if (typeof held === 'string' && !/^[\x20-\x7e]*$/.test(held)) t.fail(`${key} is not printable`);
      }
    });
    if (kind !== null && !['garbage', 'unsupported', 'refused', 'unreadable'].includes(kind)) t.fail(kind);
  };
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), holds), { numRuns: CASES_MIN / 2 });
  // One place of a true answer replaced: deep in, where the reading is made.
  const changed = fc.tuple(fc.constantFrom(...samples), fc.nat(400), value).map(([sample, place, put]) => {
    let left = place;
    return JSON.stringify(JSON.parse(sample, (_key, old) => (left-- === 0 ? put : old)));
  });
  fc.assert(fc.property(changed, holds), { numRuns: CASES_MIN });
  fc.assert(
    fc.property(fc.constantFrom(...samples), fc.nat(4_000), (sample, length) => holds(sample.slice(0, length))),
    { numRuns: 1_000 },
  );
  t.ok(readings > CASES_MIN / 2, `most of the changed answers are still read (${readings})`);
});

t.test('the program: a reading, its end, its absence', async (t) => {
  const fake = new FakeSmartctl();
  t.teardown(() => fake.close());
  fake.set('/dev/sda', { output: printed('ata-hdd-failing'), exitStatus: 216 });
  fake.set('/dev/sdb', { output: 'Segmentation fault', exitStatus: 139 });
  const smart = new Smart({ program: fake.program });
  t.match(await smart.read({ path: '/dev/sda' }), { disk: '/dev/sda', passed: false });
  t.match(await smart.read({ path: '/dev/sda', type: 'sat' }), { passed: false });
  t.match(readFileSync(fake.started, 'utf8'), /--log=selftest --device=sat \/dev\/sda\n$/);
  await t.rejects(smart.read({ path: '/dev/sdb' }), { name: 'SmartError', kind: 'garbage', message: /\/dev\/sdb.*Segmentation fault/ });
  await t.rejects(smart.read({ path: '/dev/sdc' }), { kind: 'unsupported', message: /Unable to detect/ });
  await t.rejects(new Smart({ program: `${fake.program}x` }).read({ path: '/dev/sda' }), {
    kind: 'missing',
    message: /install smartmontools/,
  });
  await t.rejects(new Smart({ program: TESTDATA }).read({ path: '/dev/sda' }), { kind: 'missing', message: /executable/ });
  fake.set('/dev/sda', { output: 'x'.repeat(1_100_000) });
  await t.rejects(smart.read({ path: '/dev/sda' }), { kind: 'garbage', message: /more than/ });
});

t.test('a disk that hangs is given up, and not asked a second time meanwhile', async (t) => {
  const fake = new FakeSmartctl();
  t.teardown(() => fake.close());
  fake.set('/dev/sda', { output: '', hangs: true });
  fake.set('/dev/sdb', { output: printed('ata-ssd') });
  // On a busy machine the program needs a while to start, and that one has to end in time.
  const smart = new Smart({ program: fake.program, timeoutMs: 3_000 });
  const hanging = smart.read({ path: '/dev/sda' });
  await t.rejects(smart.read({ path: '/dev/sda' }), { kind: 'busy', message: /has not ended/ });
  t.match(await smart.read({ path: '/dev/sdb' }), { percentUsed: 19 }, 'the others are asked all the same');
  await t.rejects(hanging, { kind: 'timeout', message: /\/dev\/sda did not answer smartctl within 3000 ms/ });
  while (smart.running > 0) await new Promise((resolve) => setImmediate(resolve));
  t.equal(readFileSync(fake.started, 'utf8').match(/sda$/gm)?.length, 1, 'started once');
  fake.set('/dev/sda', { output: printed('ata-ssd') });
  t.match(await smart.read({ path: '/dev/sda' }), { percentUsed: 19 }, 'and asked again when that process is gone');
});

t.test('close ends what runs', async (t) => {
  const fake = new FakeSmartctl();
  t.teardown(() => fake.close());
  fake.set('/dev/sda', { output: '', hangs: true });
  const smart = new Smart({ program: fake.program });
  const hanging = smart.read({ path: '/dev/sda' });
  smart.close();
  await t.rejects(hanging, { kind: 'unreadable', message: /SIGKILL/ });
  t.equal(smart.running, 0);
});
