import t from 'tap';
import { diagnoseEventLog, FRESH_EVENT_LOG } from '../../../../../appliance/core/faults/event-log.ts';
import { diagnoseMachineChecks, FRESH_MACHINE_CHECKS } from '../../../../../appliance/core/faults/machine-checks.ts';
import { diagnoseMemory, FRESH_MEMORY } from '../../../../../appliance/core/faults/memory.ts';
import { diagnoseNics, FRESH_NICS } from '../../../../../appliance/core/faults/nics.ts';
import { diagnosePcie, FRESH_PCIE } from '../../../../../appliance/core/faults/pcie.ts';
import { diagnoseProcessor, FRESH_PROCESSOR } from '../../../../../appliance/core/faults/processor.ts';
import { diagnoseRoom, FRESH_ROOM } from '../../../../../appliance/core/faults/room.ts';
import { diagnoseSensors, FRESH_SENSORS } from '../../../../../appliance/core/faults/sensors.ts';
import { diagnoseSmart, FRESH_SMART } from '../../../../../appliance/core/faults/smart.ts';
import type { Diagnosis, SelReading } from '../../../../../appliance/core/faults/types.ts';
import { DISK, discrete, fan, NIC, temperature } from './readings.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** What is found after the last of these readings. */
function last<M, R>(
  fresh: M,
  diagnose: (memory: M, reading: R, at: number) => Diagnosis<M>,
  life: readonly (readonly [number, R])[],
): string[] {
  let memory = fresh;
  let found: string[] = [];
  for (const [at, reading] of life) {
    const d = diagnose(memory, reading, at);
    memory = d.memory;
    found = d.findings.map((f) => `${f.code} ${f.where}: ${f.detail}`);
  }
  return found;
}

t.test('sensors: by the thresholds of the board; absent ones and low temperatures are nothing', async (t) => {
  const found = diagnoseSensors(FRESH_SENSORS, [
    temperature('CPU1 Temp', 85, 'critical'),
    temperature('Inlet', 35, 'nonCritical'),
    { ...temperature('Cold', 3, 'critical'), side: 'low' },
    temperature('Not there', 0, 'absent'),
    fan('FAN1', 300, 'nonRecoverable'),
    { name: '12V', kind: 'voltage', value: 10.9, unit: 'V', level: 'critical', side: 'low', states: [] },
    discrete('powerSupply', 'PS1', 'Presence detected', 'Failure detected'),
    discrete('powerSupply', 'PS2', 'Presence detected', 'Power supply input lost (AC/DC)'),
    discrete('powerSupply', 'PS3', 'Presence detected', 'Predictive failure'),
    discrete('powerSupply', 'PS4', 'Presence detected'),
    discrete('memory', 'DIMM A1', 'Uncorrectable ECC'),
    discrete('processor', 'CPU2', 'IERR'),
    discrete('drive', 'Bay 3', 'Drive fault'),
  ]).findings;
  t.strictSame(
    found.map((f) => `${f.code} ${f.where}`),
    [
      'temperatureCritical CPU1 Temp',
      'temperatureHigh Inlet',
      'fanFailed FAN1',
      'voltageOutOfRange 12V',
      'powerSupplyFailed PS1',
      'powerSupplyInputLost PS2',
      'powerSupplyPreFail PS3',
      'memoryUncorrected DIMM A1',
      'processorUncorrected CPU2',
      'diskFailing Bay 3',
    ],
  );
});

t.test('a fan that turns slower than its siblings; not one that slows down with all', async (t) => {
  const at = (factor: number, first: number) => [
    fan('FAN1', 6000 * first),
    fan('FAN2', 6000 * factor),
    fan('FAN3', 5900 * factor),
    fan('FAN4', 6100 * factor),
  ];
  const usual = Array.from({ length: 40 }, (_, i) => [i, at(1, 1)] as const);
  const diagnose = (m: typeof FRESH_SENSORS, r: ReturnType<typeof at>) => diagnoseSensors(m, r);
  t.strictSame(last(FRESH_SENSORS, diagnose, [...usual, [99, at(0.5, 0.5)]]), []);
  t.match(last(FRESH_SENSORS, diagnose, [...usual, [99, at(1, 0.6)]]), [/^fanSlow FAN1: 3600 RPM, 6\d % of what it does/]);
  // Slow for long, it does not become usual.
  const slow = Array.from({ length: 2000 }, (_, i) => [100 + i, at(1, 0.6)] as const);
  t.equal(last(FRESH_SENSORS, diagnose, [...usual, ...slow]).length, 1);
});

const entry = (what: SelReading['what'], where: string, asserted = true): SelReading => ({
  id: 1,
  timeS: null,
  what,
  asserted,
  where,
  text: 'as logged',
});

t.test('the event log: what was there before is history; ten corrected errors an hour; one that was not, at once', async (t) => {
  const many = Array.from({ length: 10 }, () => entry('memoryCorrected', 'DIMM A1'));
  t.strictSame(last(FRESH_EVENT_LOG, diagnoseEventLog, [[0, [...many, entry('memoryUncorrected', 'DIMM A1')]]]), []);
  t.match(
    last(FRESH_EVENT_LOG, diagnoseEventLog, [
      [0, []],
      [MINUTE, many],
    ]),
    [/^memoryCorrectedRate DIMM A1: 10 entries/],
  );
  t.strictSame(
    last(FRESH_EVENT_LOG, diagnoseEventLog, [
      [0, []],
      [MINUTE, many],
      [2 * HOUR, []],
    ]),
    [],
  );
  t.strictSame(
    last(FRESH_EVENT_LOG, diagnoseEventLog, [
      [0, []],
      [MINUTE, [entry('memoryUncorrected', 'DIMM A1'), entry('fan', 'FAN1'), entry('memoryUncorrected', 'DIMM A2', false)]],
    ]),
    ['memoryUncorrected DIMM A1: as logged'],
  );
});

t.test('SMART: the verdict of the disk, and what grows; not what it was bought with', async (t) => {
  const found = (...life: Partial<typeof DISK>[]) =>
    last(
      FRESH_SMART,
      diagnoseSmart,
      life.map((change, i) => [i * HOUR, { disks: [{ ...DISK, ...change }], failed: [] }] as const),
    ).map((x) => x.replace('/dev/sda (MODEL, serial S1)', 'sda'));
  t.strictSame(found({}), []);
  t.strictSame(found({ reallocatedSectors: 900 }), []);
  t.match(found({ reallocatedSectors: 3 }, { reallocatedSectors: 9 }), [/^diskGrowingDefects sda: 6 more within a day, 9 in all/]);
  t.strictSame(found({ pendingSectors: 40 }, { pendingSectors: 0, reallocatedSectors: 40 }), []);
  t.match(found({ passed: false }), [/^diskPreFail sda: its own test does not pass/]);
  t.match(found({ failingAttributes: ['Reallocated_Sector_Ct'] }), [/^diskPreFail sda: Reallocated_Sector_Ct/]);
  t.match(found({ interfaceErrors: 0 }, { interfaceErrors: 7 }), [/^diskCable sda: 7/]);
  t.match(found({ kind: 'nvme', passed: false, criticalWarnings: ['reliability degraded'] }), [/^diskPreFail sda: .*reliability degraded/]);
  t.match(found({ kind: 'nvme', passed: false, criticalWarnings: ['media is read-only'] }), [/^diskFailing sda/]);
  t.strictSame(found({ kind: 'nvme', passed: false, criticalWarnings: ['temperature'], temperatureC: 70 }), []);
  t.strictSame(found({ kind: 'nvme', availableSparePercent: 0, spareThresholdPercent: 0 }), [], 'as QEMU says it');
  t.match(found({ kind: 'nvme', availableSparePercent: 5, spareThresholdPercent: 10 }), [/5 % spare/]);
  const silent = { disks: [], failed: [{ disk: '/dev/sda', reason: 'no answer' }] };
  t.match(
    last(FRESH_SMART, diagnoseSmart, [
      [0, { disks: [{ ...DISK, passed: false }], failed: [] }],
      [HOUR, silent],
      [2 * HOUR, silent],
    ]),
    [/^sourceUnreadable SMART of \/dev\/sda: no answer/, /^diskPreFail/],
    'who dies in silence is not healed by it',
  );
  t.match(found({ percentUsed: 97 }), [/^diskWorn/]);
  t.match(found({ temperatureC: 61 }, { temperatureC: 57 }), [/^diskHot/]);
  t.strictSame(found({ temperatureC: 61 }, { temperatureC: 54 }), []);
});

t.test('memory controllers: rates by module; a counter that began anew; one that was not corrected', async (t) => {
  const row = (corrected: number, uncorrected = 0) => [{ where: 'DIMM A1', corrected, uncorrected }];
  t.strictSame(last(FRESH_MEMORY, diagnoseMemory, [[0, row(5000, 3)]]), []);
  const nine = [
    [0, row(5000)],
    [MINUTE, row(5009)],
  ] as const;
  t.strictSame(last(FRESH_MEMORY, diagnoseMemory, nine), []);
  t.match(last(FRESH_MEMORY, diagnoseMemory, [...nine, [2 * MINUTE, row(1)]]), [
    /^memoryCorrectedRate DIMM A1: 10 corrected in the last hour/,
  ]);
  t.strictSame(last(FRESH_MEMORY, diagnoseMemory, [...nine, [2 * HOUR, row(5012)]]), []);
  t.match(
    last(FRESH_MEMORY, diagnoseMemory, [
      [0, row(0, 0)],
      [1, row(0, 1)],
    ]),
    [/^memoryUncorrected DIMM A1/],
  );
});

t.test('machine checks, by bank', async (t) => {
  const check = (corrected: boolean, bank: number) => ({ corrected, cpu: 0, bank, text: 'a cache error' });
  const some = (n: number, bank: number) => Array.from({ length: n }, () => check(true, bank));
  t.strictSame(last(FRESH_MACHINE_CHECKS, diagnoseMachineChecks, [[0, [...some(9, 1), ...some(9, 2)]]]), []);
  t.match(last(FRESH_MACHINE_CHECKS, diagnoseMachineChecks, [[0, some(10, 2)]]), [
    /^processorCorrectedRate processor 0, bank 2: 10 .*a cache error/,
  ]);
  t.match(last(FRESH_MACHINE_CHECKS, diagnoseMachineChecks, [[0, [check(false, 5)]]]), [/^processorUncorrected processor 0, bank 5/]);
  const vague = Array.from({ length: 10 }, () => ({ corrected: true, cpu: null, bank: null, text: 'no detail' }));
  t.match(last(FRESH_MACHINE_CHECKS, diagnoseMachineChecks, [[0, vague]]), [/^processorCorrectedRate processor or memory: 10/]);
});

t.test('PCIe', async (t) => {
  const device = (corrected: number, nonFatal = 0, fatal = 0) => [{ where: '0000:01:00.0', corrected, nonFatal, fatal }];
  t.strictSame(last(FRESH_PCIE, diagnosePcie, [[0, device(999, 9, 9)]]), []);
  const found = last(FRESH_PCIE, diagnosePcie, [
    [0, device(0)],
    [1, device(100, 1)],
  ]);
  t.match(found, [/^pcieUncorrected/, /^pcieCorrectedRate/]);
});

t.test('network ports: no carrier, flapping, damaged frames, slower than they were', async (t) => {
  const found = (...life: Partial<typeof NIC>[]) =>
    last(
      FRESH_NICS,
      diagnoseNics,
      life.map((change, i) => [i * 5000, [{ ...NIC, ...change }]] as const),
    );
  t.strictSame(found({}), []);
  t.strictSame(found({ carrier: false, speedMbps: null }), ['nicDown link1 (link): no carrier']);
  t.strictSame(found({ carrierChanges: 1 }, { carrierChanges: 7 }), [], 'the partner started anew');
  t.match(found({ carrierChanges: 1 }, { carrierChanges: 13 }), [/^nicFlapping/]);
  t.strictSame(found({ frames: 0 }, { frames: 10_000_000, receiveErrors: 50 }), []);
  t.match(found({ frames: 0 }, { frames: 1_000_000, receiveErrors: 50 }), [/^nicErrors link1 \(link\): 50 beside 1000000/]);
  t.match(found({}, { speedMbps: 100 }), [/^nicSlow .*100 Mbit\/s, it had 1000/]);
  t.match(found({ fullDuplex: false }), [/^nicSlow .*half duplex/]);
});

t.test('the processor: throttled, and its clock no longer trusted', async (t) => {
  const cpu = (throttled: number | null, clocksource: string) => ({ throttled, clocksource });
  t.strictSame(last(FRESH_PROCESSOR, diagnoseProcessor, [[0, cpu(50, 'tsc')]]), []);
  t.match(
    last(FRESH_PROCESSOR, diagnoseProcessor, [
      [0, cpu(50, 'tsc')],
      [1, cpu(53, 'hpet')],
    ]),
    [/^processorThrottled : 3 times/, /^clockUnstable : .*hpet/],
  );
  t.strictSame(
    last(FRESH_PROCESSOR, diagnoseProcessor, [
      [0, cpu(null, 'kvm-clock')],
      [1, cpu(null, 'hpet')],
    ]),
    [],
  );
});

t.test('the state partition: full, and with clearly more room again', async (t) => {
  const room = (freeMiB: number) => ({ folder: '/var/lib/twinstep', freeMiB, totalMiB: 2016.4 });
  const found = (...life: number[]) =>
    last(
      FRESH_ROOM,
      diagnoseRoom,
      life.map((free, i) => [i, room(free)] as const),
    );
  t.strictSame(found(32), []);
  t.strictSame(found(0.3), ['stateFull /var/lib/twinstep: 0 of 2016 MiB are left']);
  t.match(found(31.9, 47), [/^stateFull .*47 of/], 'a little more is not enough');
  t.strictSame(found(31.9, 48), []);
});
