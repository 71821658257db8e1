// Sensors and inventories in words: a captured server, values against the specification, and records that are nonsense.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Bmc } from '../../../../drivers/ipmi/bmc.ts';
import { FakeMachine } from '../../../../drivers/ipmi/fake-machine.ts';
import { decodeSdr, type SdrSensor, sharedSensors } from '../../../../drivers/ipmi/sdr.ts';
import { type SensorAnswer, sensorReadings, sensorWith, uniqueNames } from '../../../../drivers/ipmi/sensors.ts';

const close = async () => undefined;

function withFake() {
  const machine = new FakeMachine();
  const asked: string[] = [];
  const bmc = new Bmc({
    name: 'the BMC',
    close,
    command: async (netFn, lun, command, data) => {
      asked.push(`${netFn}.${lun}.${command.toString(16)}`);
      const answer = machine.answer(netFn, command, data);
      return { completionCode: answer[0] ?? 0xff, data: answer.subarray(1) };
    },
  });
  return { machine, bmc, asked };
}

/** What a BMC answered once, by what it was asked. */
function replay(file: string): Bmc {
  const answers = new Map<string, [string, string]>();
  for (const line of readFileSync(new URL(`../../../../drivers/ipmi/testdata/${file}`, import.meta.url), 'utf8').split('\n')) {
    const [, question, code, data] = /^([0-9a-f]{6} \S+) > ([0-9a-f]{2}) (\S+)$/.exec(line) ?? [];
    if (question !== undefined && code !== undefined && data !== undefined) answers.set(question, [code, data]);
  }
  const hex = (b: Buffer): string => (b.length === 0 ? '-' : b.toString('hex'));
  return new Bmc({
    name: file,
    close,
    command: async (netFn, lun, command, data) => {
      const question = `${hex(Buffer.from([netFn, lun, command]))} ${hex(data)}`;
      const [code, answer] = answers.get(question) ?? ['c1', '-'];
      return { completionCode: Number.parseInt(code, 16), data: Buffer.from(answer === '-' ? '' : answer, 'hex') };
    },
  });
}

t.test('a server as OpenIPMI simulates it', async (t) => {
  const bmc = replay('openipmi-server.txt');
  t.match(await bmc.deviceId(), { firmware: '9.08', ipmiVersion: '2.0', manufacturerId: 4753 });
  const readings = await bmc.sensorReadings();
  t.equal(readings.length, 15);
  const plain = { side: null, states: [] };
  const wanted = [
    { name: 'CPU1 Temp', kind: 'temperature', value: 85, unit: 'C', level: 'critical', side: 'high', states: [] },
    { name: 'Inlet Temp', kind: 'temperature', value: 22, unit: 'C', level: 'ok', ...plain },
    { name: 'FAN1', kind: 'fan', value: 8000, unit: 'RPM', level: 'ok', ...plain },
    { name: 'P12V', kind: 'voltage', value: 12, unit: 'V', level: 'ok', ...plain },
    { name: 'PSU1 Power In', kind: 'other', value: 180, unit: 'W', level: 'ok', ...plain },
    {
      ...{ name: 'PSU1 Status', kind: 'powerSupply', value: null, unit: '', level: 'critical', side: null },
      states: ['Presence detected', 'Failure detected'],
    },
    { name: 'PSU2 Status', kind: 'powerSupply', value: null, unit: '', level: 'absent', ...plain },
    { name: 'CPU1 Status', kind: 'processor', value: null, unit: '', level: 'ok', side: null, states: ['Presence detected'] },
    { name: 'DIMM A1', kind: 'memory', value: null, unit: '', level: 'ok', side: null, states: ['Presence detected'] },
    { name: 'Drive Bay 0', kind: 'drive', value: null, unit: '', level: 'critical', side: null, states: ['Drive present', 'Drive fault'] },
    { name: 'OS Watchdog', kind: 'other', value: null, unit: '', level: 'ok', ...plain },
    { name: 'Event Log', kind: 'other', value: null, unit: '', level: 'ok', ...plain },
  ];
  t.strictSame(readings.slice(3), wanted);
  const [cpu] = (await bmc.sensors()).filter((s) => s.name === 'CPU1 Temp');
  t.strictSame(cpu?.thresholds, { upperNonRecoverable: 90, upperCritical: 80, upperNonCritical: 70 });

  const events = await bmc.selReadings((await bmc.followSel().poll()).entries);
  t.strictSame(
    events.map((e) => [e.what, e.where]),
    [
      ['temperature', 'CPU1 Temp'],
      ['temperature', 'CPU1 Temp'],
      ['powerSupplyFailed', 'PSU1 Status'],
      ['driveFault', 'Drive Bay 0'],
      ['memoryUncorrected', 'DIMM A1, module 2'],
      ['other', ''],
    ],
  );
  t.equal(events[1]?.text, 'CPU1 Temp: Upper critical going high, at 85 C, threshold 80 C');

  const [builtin, psu] = await bmc.inventories();
  t.match(builtin, {
    ...{ device: 0, name: 'Builtin FRU device', problem: undefined },
    chassis: { type: 0x17, partNumber: 'CH-1', serial: 'CHS0001' },
    board: {
      manufacturer: 'Example Boards',
      product: 'X1-DUAL',
      serial: 'BRD0001',
      partNumber: 'EB-100-02',
      madeOnS: Date.UTC(2024, 0, 30, 1, 4) / 1000,
    },
    product: {
      manufacturer: 'Example Servers',
      name: 'ES-2200',
      partNumber: 'ES2200-A',
      version: '03',
      serial: 'SRV0001',
      assetTag: 'Rack 4',
    },
  });
  t.strictSame(builtin?.product?.custom, ['123', 'IPMI'], 'BCD plus and packed 6-bit');
  t.match(psu, { device: 1, name: 'PSU1 FRU', board: undefined, problem: /not written/ });
});

const SENSOR: SdrSensor = {
  ...{ number: 1, lun: 0, owner: 0x20, name: 'X', entity: 7, entityInstance: 1, readable: true, sensorType: 1, eventType: 1, unit: 'C' },
  conversion: { format: 'unsigned', m: 1, b: 0, bExponent: 0, rExponent: 0, linearization: 0 },
  thresholds: { upperCritical: 80, upperNonCritical: 70, lowerCritical: 5 },
  ...{ possibleStates: 0, share: undefined },
};
const threshold = (raw: number | undefined, states: number | undefined) => sensorWith(SENSOR, { raw, states, scanning: true });
const discrete = (sensorType: number, states: number, possibleStates = 0x7fff, eventType = 0x6f) =>
  sensorWith({ ...SENSOR, sensorType, eventType, possibleStates, thresholds: {} }, { raw: 0, states, scanning: true });

t.test("levels: the BMC's bits, else its thresholds", async (t) => {
  t.match(threshold(50, 0), { level: 'ok', side: null, value: 50 });
  t.match(threshold(90, 0), { level: 'ok' }, 'the BMC knows its hysteresis');
  t.match(threshold(50, 0x08), { level: 'nonCritical', side: 'high' });
  t.match(threshold(50, 0x18), { level: 'critical', side: 'high' });
  t.match(threshold(50, 0x38), { level: 'nonRecoverable', side: 'high' });
  t.match(threshold(50, 0x03), { level: 'critical', side: 'low' });
  t.match(threshold(50, 0x07), { level: 'nonRecoverable', side: 'low' });
  t.match(threshold(85, undefined), { level: 'critical', side: 'high' });
  t.match(threshold(72, undefined), { level: 'nonCritical', side: 'high' });
  t.match(threshold(5, undefined), { level: 'critical', side: 'low' });
  t.match(threshold(50, undefined), { level: 'ok' });
  t.match(threshold(undefined, 0), { level: 'unavailable', value: undefined });
  for (const [answer, level] of [
    ['absent', 'absent'],
    ['unavailable', 'unavailable'],
  ] as const satisfies [SensorAnswer, string][])
    t.match(sensorWith(SENSOR, answer), { level });
});

t.test('states in words', async (t) => {
  t.match(discrete(0x08, 0x01), { level: 'ok', stateTexts: ['Presence detected'] });
  t.match(discrete(0x08, 0x05), { level: 'nonCritical', stateTexts: ['Presence detected', 'Predictive failure'] });
  t.match(discrete(0x08, 0x09), { level: 'critical', stateTexts: ['Presence detected', 'Input lost'] });
  t.match(discrete(0x08, 0x00), { level: 'absent', stateTexts: [] });
  t.match(discrete(0x08, 0x00, 0x02), { level: 'ok' }, 'one that never says "present"');
  t.match(discrete(0x08, 0x02), { level: 'critical' }, 'a failure counts, present or not');
  t.match(discrete(0x07, 0x81), { level: 'critical', stateTexts: ['IERR', 'Presence detected'] });
  t.match(discrete(0x07, 0x02), { level: 'nonRecoverable', stateTexts: ['Thermal trip'] });
  t.match(discrete(0x0c, 0x42), { level: 'critical', stateTexts: ['Uncorrectable ECC', 'Presence detected'] });
  t.match(discrete(0x0d, 0x05), { level: 'nonCritical', stateTexts: ['Drive present', 'Predictive failure'] });
  t.match(discrete(0x23, 0x02), { level: 'critical', stateTexts: ['Hard reset'] });
  t.match(discrete(0x04, 0x01, 0x03, 0x08), { level: 'absent', stateTexts: ['Device absent'] });
  t.match(discrete(0x04, 0x02, 0x03, 0x08), { level: 'ok', stateTexts: ['Device present'] });
  t.match(discrete(0x01, 0x04, 0xff, 0x07), { level: 'critical', stateTexts: ['Critical from less severe'] });
  t.match(discrete(0xc5, 0x4001, 0x7fff, 0x77), { level: 'ok', stateTexts: ['State 0 of event type 0x77', 'State 14 of event type 0x77'] });
});

t.test('every name once', async (t) => {
  const at = (name: string, number: number, entityInstance = 1, entity = 3) => ({ name, number, lun: 0, entity, entityInstance });
  t.strictSame(uniqueNames([at('Temp', 1, 1), at('Temp', 2, 2), at('Fan', 3)]), ['Temp (processor 1)', 'Temp (processor 2)', 'Fan']);
  t.strictSame(uniqueNames([at('Temp', 1), at('Temp', 2), at('', 0x30)]), ['Temp (sensor 0x01)', 'Temp (sensor 0x02)', 'Sensor 0x30']);
  const same = uniqueNames([at('Temp', 1), at('Temp', 1), at('Temp', 1)]);
  t.equal(new Set(same).size, 3);
  t.strictSame(
    sensorReadings([threshold(1, 0)]).map((r) => r.name),
    ['X'],
  );
});

/** The fake's temperature sensor, changed. */
function record(change: (b: Buffer) => unknown, id = 2, name = 'Other'): Buffer {
  const base = new FakeMachine().sdrs[0] ?? Buffer.alloc(0);
  const b = Buffer.concat([base.subarray(0, 47), Buffer.from([0xc0 | name.length]), Buffer.from(name)]);
  b.writeUInt16LE(id, 0);
  b[4] = b.length - 5;
  change(b);
  return b;
}

t.test('records that are nonsense do not take the others with them', async (t) => {
  const { machine, bmc } = withFake();
  machine.readings.set(2, { raw: 7, states: 0 });
  machine.sdrs.push(
    // Says that it is longer than it is; a name that ends outside; shorter than its type; one sensor of another controller; no record at all.
    record((b) => b.writeUInt8(200, 4), 2),
    record((b) => b.writeUInt8(0xdf, 47), 3),
    Buffer.from('04005101022000', 'hex'),
    record((b) => b.writeUInt8(0x2c, 5), 5),
    Buffer.from('0600510305 00'.replaceAll(' ', ''), 'hex'),
    // Linearization that needs more than the record; a name of control characters; a sensor that the BMC does not know.
    record((b) => b.fill(2, 7, 8).fill(0x70, 23, 24), 7, 'Nonlinear'),
    record((b) => b.writeUInt8(2, 7), 8, 'A\u001b[2J'),
    record((b) => b.writeUInt8(99, 7), 9, 'Unknown'),
  );
  const records = await bmc.sdrRecords();
  t.strictSame(
    records.map((r) => r.problem !== undefined),
    [false, true, true, true, false, true, false, false, false],
  );
  t.match(records[1]?.problem, /an SDR that ends after/);
  t.match(records[2]?.problem, /a sensor name that ends too early/);
  t.strictSame(
    (await bmc.sensorReadings()).map((s) => [s.name, s.value, s.level]),
    [
      ['CPU Temp', 45, 'ok'],
      ['Nonlinear', null, 'ok'],
      ['A [2J', 7, 'ok'],
      ['Unknown', null, 'absent'],
    ],
  );
});

t.test('a repository without an end, one in a circle, one that returns little at once', async (t) => {
  const { machine, bmc } = withFake();
  const answer = machine.answer.bind(machine);
  machine.answer = (netFn, command, data) => {
    const b = answer(netFn, command, data);
    if (command === 0x23) b.writeUInt16LE(1, 1);
    return b;
  };
  t.ok((await bmc.sdrRecords()).length <= 2, 'a circle is left');
  const other = withFake();
  other.machine.sdrChunkBytes = 8;
  t.match(await other.bmc.sensorReadings(), [{ name: 'CPU Temp' }]);
  other.machine.sdrChunkBytes = 4;
  other.machine.sdrVersion++;
  await t.rejects(other.bmc.sdrRecords(), { name: 'IpmiError', reason: 'rejected', completionCode: 0xca });
});

t.test('records are read again when they changed, thresholds too', async (t) => {
  const { machine, bmc, asked } = withFake();
  machine.thresholds.set(1, [0x38, 0, 0, 0, 60, 70, 80]);
  const thresholds = async () => (await bmc.sensors())[0]?.thresholds;
  t.strictSame(await thresholds(), { upperNonCritical: 60, upperCritical: 70, upperNonRecoverable: 80 });
  asked.length = 0;
  await thresholds();
  t.strictSame(asked, ['10.0.20', '4.0.2d'], 'two questions: whether they changed, and the reading');
  machine.sdrVersion++;
  machine.thresholds.delete(1);
  t.match(await thresholds(), { upperNonCritical: 112, upperCritical: 144, upperNonRecoverable: 160 }, 'of the record');
});

t.test("two that ask at once share one reading: neither takes away the other one's reservation", async (t) => {
  const { machine, bmc, asked } = withFake();
  for (let number = 2; number <= 20; number++) {
    const record = Buffer.from(machine.sdrs[0] ?? '');
    record.writeUInt16LE(number, 0);
    record.writeUInt8(number, 7);
    machine.sdrs.push(record);
  }
  const [one, other] = await Promise.all([bmc.sdrRecords(), bmc.sdrRecords()]);
  t.equal(one.length, 20);
  t.equal(other, one);
  const reserved = () => asked.filter((command) => command === '10.0.22').length;
  t.equal(reserved(), 1);
  machine.sdrVersion++;
  t.not(await bmc.sdrRecords(), one, 'and the next one looks again');
  t.equal(reserved(), 2);
});

t.test('a sensor that flaps, is off, has no comparison, or fails by itself', async (t) => {
  const { machine, bmc } = withFake();
  const level = async () => (await bmc.sensorReadings())[0]?.level;
  const levels: unknown[] = [];
  for (const [raw, states] of [
    [143, 0x08],
    [144, 0x18],
    [143, 0x08],
    [150, undefined],
  ] as const) {
    machine.readings.set(1, { raw, states });
    levels.push(await level());
  }
  t.strictSame(levels, ['nonCritical', 'critical', 'nonCritical', 'critical']);
  machine.readings.set(1, { raw: 150, states: 0x18, flags: 0x60 });
  t.equal(await level(), 'unavailable');
  machine.readings.set(1, { raw: 150, states: 0x18, flags: 0x00 });
  t.equal(await level(), 'unavailable');
  machine.readings.set(1, 0xcb);
  t.equal(await level(), 'absent');
  machine.readings.set(1, 0xd5);
  t.equal(await level(), 'unavailable');
  const answer = machine.answer.bind(machine);
  machine.answer = (netFn, command, data) => (command === 0x2d ? Buffer.from([0, 1]) : answer(netFn, command, data));
  t.equal(await level(), 'unavailable', 'garbage');
});

t.test('a record that several sensors share', async (t) => {
  // 43.2: compact, power supplies 1 to 3, numbers 40h on, "PSU " with a number from 1 on.
  const head = '0000 51 02 1f 20 00 40 0a 01 67 40 08 6f 0f00 0f00 0f00 c0 00 00 03 81 00 00 00 00 00 00 c4 50535520'.replaceAll(' ', '');
  const b = Buffer.from(head, 'hex');
  b[4] = b.length - 5;
  const { sensor } = decodeSdr(b);
  t.ok(sensor);
  if (sensor === undefined) return;
  t.strictSame(
    sharedSensors(sensor).map((s) => [s.number, s.name, s.entityInstance]),
    [
      [0x40, 'PSU1', 1],
      [0x41, 'PSU2', 2],
      [0x42, 'PSU3', 3],
    ],
  );
});
