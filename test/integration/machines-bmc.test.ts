// The BMC of a whole machine, without the machine: its sensors as our RMCP+ client reads them, and each fault that goes by the simulator.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type IpmiSession, openIpmi } from '../../drivers/ipmi/index.ts';
import { startBmc } from '../../hwqual/lab/bmc.ts';
import type { LabFault } from '../../hwqual/lab/lab-interface.ts';
import { type FaultWorld, RECIPES } from '../../hwqual/lab/machines/faults.ts';
import { bmcEmulation, STATE_SENSORS } from '../../hwqual/lab/machines/sensors.ts';

const PORT = 17_623;
const directory = mkdtempSync(join(tmpdir(), 'machines-bmc-'));
const bmc = await startBmc({
  ...{ directory, address: '127.0.0.1', port: PORT, username: 'twinstep', password: 'secret' },
  power: { kind: 'commands', get: 'echo on', set: ':' },
  emulation: bmcEmulation({ major: 9, minor: 6 }),
});
const session: IpmiSession = await openIpmi({ address: '127.0.0.1', port: PORT, username: 'twinstep', password: 'secret', cipherSuite: 3 });
t.teardown(async () => {
  await session.close();
  await bmc.stop();
  rmSync(directory, { recursive: true });
});

const world: FaultWorld = {
  name: 'A',
  bmc,
  get monitor(): never {
    throw new Error('there is no machine');
  },
  setCable: async () => undefined,
  setBmcCable: async () => undefined,
};
const sensor = async (name: string) => (await session.sensors()).find((s) => s.name === name);

async function selEvents() {
  const events = [];
  for await (const { event } of session.selEntries()) if (event) events.push(event);
  return events;
}

t.test('healthy, every sensor has its value and is at ease', async (t) => {
  const sensors = await session.sensors();
  t.strictSame(
    sensors.map(({ name, value, unit, level }) => [name, value === undefined ? undefined : Math.round(value * 10) / 10, unit, level]),
    [
      ['CPU1 Temp', 40, 'C', 'ok'],
      ['FAN1', 8000, 'RPM', 'ok'],
      ['P12V', 12, 'V', 'ok'],
      ['PSU1 Status', undefined, '', 'ok'],
      ['PSU2 Status', undefined, '', 'ok'],
      ['DIMM A1 ECC', undefined, '', 'ok'],
    ],
  );
  t.match(await session.deviceId(), { firmware: '9.06' });
});

const LEVELS: [LabFault, string, string][] = [
  ['temperatureHigh', 'CPU1 Temp', 'nonCritical'],
  ['temperatureCritical', 'CPU1 Temp', 'critical'],
  ['fanSlow', 'FAN1', 'nonCritical'],
  ['fanFailed', 'FAN1', 'nonRecoverable'],
  ['voltageOutOfRange', 'P12V', 'critical'],
];
for (const [fault, name, level] of LEVELS)
  t.test(`${fault}: ${name} is ${level}, says so in the SEL, and is well again afterwards`, async (t) => {
    const before = (await selEvents()).length;
    await RECIPES[fault].inject(world);
    t.equal((await sensor(name))?.level, level);
    t.ok((await selEvents()).length > before, 'an entry in the SEL');
    await RECIPES[fault].clear?.(world);
    t.equal((await sensor(name))?.level, 'ok');
    t.ok(
      (await selEvents()).some((event) => event.deasserted),
      'an entry that it is over',
    );
  });

for (const [fault, { name }, bit] of [
  ['powerSupplyFailed', STATE_SENSORS.psu1, 1],
  ['powerSupplyInputLost', STATE_SENSORS.psu2, 3],
] as const)
  t.test(`${fault}: a state of ${name}`, async (t) => {
    t.equal((await sensor(name))?.states, 1, 'present');
    await RECIPES[fault].inject(world);
    t.equal((await sensor(name))?.states, 1 | (1 << bit));
    await RECIPES[fault].clear?.(world);
    t.equal((await sensor(name))?.states, 1);
  });

t.test('memory errors are entries of the SEL', async (t) => {
  for (const [fault, offset] of [
    ['memoryCorrectedSel', 0],
    ['memoryUncorrectedSel', 1],
  ] as const) {
    await RECIPES[fault].inject(world);
    const last = (await selEvents()).at(-1);
    t.match(last, { sensorType: STATE_SENSORS.memory.type, sensor: STATE_SENSORS.memory.number, eventType: 0x6f, deasserted: false });
    t.equal((last?.data[0] ?? 0) & 15, offset);
    t.equal(RECIPES[fault].clear, undefined, 'an event');
  }
});
