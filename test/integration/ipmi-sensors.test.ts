// Sensors and event log of a BMC against Debian's ipmi_sim: its sensors are set at its console, and read back over RMCP+ with their levels;
// the events that it makes of that are followed, through a clear of the log; and ipmitool sees the same.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { openIpmi } from '../../drivers/ipmi/index.ts';
import { startBmc } from '../../hwqual/lab/bmc.ts';

const PORT = 9826;
const CREDENTIALS = { username: 'twinstep', password: 'only-for-tests' };
const run = promisify(execFile);

const directory = mkdtempSync(join(tmpdir(), 'twinstep-ipmi-sensors-'));
t.teardown(() => rmSync(directory, { recursive: true }));

const server = readFileSync(new URL('../../drivers/ipmi/testdata/ipmi-sim-server.emu', import.meta.url), 'utf8');
const commands = server.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

async function ipmitool(...args: string[]): Promise<string[][]> {
  const { username, password } = CREDENTIALS;
  const access = ['-I', 'lanplus', '-C', '3', '-H', '127.0.0.1', '-p', `${PORT}`, '-U', username, '-P', password];
  const { stdout } = await run('ipmitool', [...access, ...args]);
  const lines = stdout.split('\n').filter((line) => line.includes('|'));
  return lines.map((line) => line.split('|').map((cell) => cell.trim()));
}

t.test('a server that gets hot, loses a power supply and memory, and mends', async (t) => {
  const power = { kind: 'commands', get: 'echo on', set: 'true' } as const;
  const bmc = await startBmc({ directory: join(directory, 'bmc'), address: '127.0.0.1', port: PORT, ...CREDENTIALS, power, commands });
  t.teardown(() => bmc.stop());
  const session = await openIpmi({ address: '127.0.0.1', port: PORT, ...CREDENTIALS, timeoutMs: 1000 });
  t.teardown(() => session.close());
  const sensor = async (name: string) => (await session.sensorReadings()).find((s) => s.name === name);
  const follower = session.followSel();
  const news = async () => session.selReadings((await follower.poll()).entries);

  const healthy = await session.sensorReadings();
  t.strictSame(new Set(healthy.map((s) => s.level)), new Set(['ok', 'absent']), 'healthy at first');
  t.strictSame(
    healthy.filter((s) => s.level === 'absent').map((s) => s.name),
    ['PSU2 Status'],
  );
  t.strictSame(await news(), [], 'nothing in the log');

  await bmc.command('sensor_set_value 0x20 0 0x10 0x55 1');
  t.match(await sensor('CPU1 Temp'), { kind: 'temperature', value: 85, unit: 'C', level: 'critical', side: 'high' });
  t.match(await news(), [
    { what: 'temperature', where: 'CPU1 Temp', asserted: true, text: 'CPU1 Temp: Upper non-critical going high, at 85 C, threshold 70 C' },
    { what: 'temperature', where: 'CPU1 Temp', asserted: true, text: 'CPU1 Temp: Upper critical going high, at 85 C, threshold 80 C' },
  ]);
  await bmc.command('sensor_set_value 0x20 0 0x12 5 1');
  t.match(await sensor('FAN1'), { kind: 'fan', value: 500, unit: 'RPM', level: 'critical', side: 'low' });
  await bmc.command('sensor_set_value 0x20 0 0x13 0x8d 1');
  t.match(await sensor('P12V'), { kind: 'voltage', value: 14.1, unit: 'V', level: 'critical', side: 'high' });
  const measured = await news();
  t.strictSame(new Set(measured.map((e) => e.what)), new Set(['fan', 'voltage']));

  await bmc.command('sensor_set_bit 0x20 0 0x20 3 1 1');
  t.match(await sensor('PSU1 Status'), { level: 'critical', states: ['Presence detected', 'Input lost'] });
  await bmc.command('sensor_set_bit 0x20 0 0x24 2 1 1');
  t.match(await sensor('Drive Bay 0'), { level: 'nonCritical', states: ['Drive present', 'Predictive failure'] });
  await bmc.command('sel_add 0x20 2 0 0 0 0 0x20 0 4 0x0c 0x23 0x6f 0xa1 0xff 0xff');
  t.match(await news(), [
    { what: 'powerSupplyInputLost', where: 'PSU1 Status' },
    { what: 'drivePredictive', where: 'Drive Bay 0' },
    { what: 'memoryUncorrected', where: 'DIMM A1', text: 'DIMM A1: Uncorrectable ECC' },
  ]);

  const theirs = new Map((await ipmitool('sensor')).map(([name = '', value = '', , level = '']) => [name, { value, level }]));
  const ours = new Map((await session.sensors()).map((s) => [s.name, s]));
  t.strictSame([...ours.keys()], [...theirs.keys()]);
  for (const [name, { value, level }] of theirs) {
    const s = ours.get(name);
    if (s?.eventType !== 1) continue;
    t.equal(s.value?.toFixed(3), value, name);
    t.equal(s.level, { ok: 'ok', nc: 'nonCritical', cr: 'critical', nr: 'nonRecoverable' }[level], `${name} is ${level}`);
  }

  // Mends.
  await bmc.command('sensor_set_value 0x20 0 0x10 0x28 1');
  await bmc.command('sensor_set_bit 0x20 0 0x20 3 0 1');
  t.match(await sensor('CPU1 Temp'), { value: 40, level: 'ok', side: null });
  t.match(await sensor('PSU1 Status'), { level: 'ok', states: ['Presence detected'] });
  const mended = await news();
  t.strictSame(
    mended.map((e) => [e.what, e.asserted]),
    [
      ['temperature', false],
      ['temperature', false],
      ['powerSupplyInputLost', false],
    ],
  );

  // Somebody else clears the log.
  const { entries } = await session.selInfo();
  t.equal((await ipmitool('sel', 'list')).length, entries, 'ipmitool sees as many entries');
  await ipmitool('sel', 'clear');
  const cleared = await follower.poll();
  t.strictSame([cleared.entries, cleared.wasCleared, cleared.info.entries], [[], true, 0]);
  await bmc.command('sensor_set_value 0x20 0 0x11 0x30 1');
  t.match(await news(), [{ where: 'Inlet Temp' }, { where: 'Inlet Temp' }], 'and what comes then is new');

  const [builtin] = await session.inventories();
  t.match(builtin, { board: { product: 'X1-DUAL', serial: 'BRD0001' }, product: { name: 'ES-2200', serial: 'SRV0001' } });
});
