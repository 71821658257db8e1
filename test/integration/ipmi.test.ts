// The IPMI driver against other implementations: Debian's ipmi_sim as the BMC, with Debian's ipmitool asking the same; and ipmitool as the
// client of our faked BMC, in both cipher suites, so that each implementation of suite 17 is checked by another.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { FakeBmc } from '../../drivers/ipmi/fake.ts';
import { type IpmiOptions, openIpmi, type PowerOffStep, powerOffVerified, readPower } from '../../drivers/ipmi/index.ts';
import { type BmcOptions, startBmc } from '../../hwqual/lab/bmc.ts';

const PORT = 9823;
const CREDENTIALS = { username: 'twinstep', password: 'only-for-tests' };
const TARGET: IpmiOptions = { address: '127.0.0.1', port: PORT, ...CREDENTIALS, timeoutMs: 500, retries: 1 };
const run = promisify(execFile);

const directory = mkdtempSync(join(tmpdir(), 'twinstep-ipmi-'));
t.teardown(() => rmSync(directory, { recursive: true }));
/** The server's power: a word in a file. */
const machine = join(directory, 'machine');
const COMMANDS = { kind: 'commands', get: `cat ${machine}`, set: `put() { echo "$1" >${machine}; }; put` } as const;

async function ipmitool(suite: number, port: number, ...args: string[]): Promise<string> {
  if (!existsSync('/usr/bin/ipmitool')) throw new Error('ipmitool is not installed: apt-get install ipmitool');
  const access = [
    '-I',
    'lanplus',
    '-C',
    `${suite}`,
    '-H',
    '127.0.0.1',
    '-p',
    `${port}`,
    '-U',
    CREDENTIALS.username,
    '-P',
    CREDENTIALS.password,
  ];
  return (await run('ipmitool', [...access, ...args])).stdout.trim();
}

/** "Name   : value" of a line, without what follows in brackets. */
function field(text: string, name: string): string {
  const line = text.split('\n').find((l) => l.trim().startsWith(name));
  return line?.slice(line.indexOf(':') + 1).trim() ?? '';
}

async function bmcWith(t: { teardown: (fn: () => unknown) => void }, power: BmcOptions['power'] = COMMANDS) {
  writeFileSync(machine, 'on\n');
  const bmc = await startBmc({ directory: join(directory, 'bmc'), address: '127.0.0.1', port: PORT, ...CREDENTIALS, power });
  t.teardown(() => bmc.stop());
  return bmc;
}

t.test('the same answers as ipmitool gets from ipmi_sim', async (t) => {
  const bmc = await bmcWith(t);
  for (const data of ['0x0c 0x05 0x6f 0xa0 0xff 0x03', '0x0c 0x10 0x6f 0xa1 0xff 0xff', '0x01 0x01 0x01 0x57 0x5a 0x5a'])
    await bmc.command(`sel_add 0x20 0x02 0x00 0x00 0x00 0x00 0x20 0x00 0x04 ${data}`);
  await bmc.command('sensor_set_value 0x20 0 1 0x95 1');
  const session = await openIpmi(TARGET);
  t.teardown(() => session.close());
  t.equal(session.cipherSuite, 3, 'ipmi_sim refuses 17');

  const info = await ipmitool(3, PORT, 'mc', 'info');
  const device = await session.deviceId();
  t.equal(`${device.deviceId}`, field(info, 'Device ID'));
  t.equal(`${device.deviceRevision}`, field(info, 'Device Revision'));
  t.equal(device.firmware, field(info, 'Firmware Revision'));
  t.equal(device.ipmiVersion, field(info, 'IPMI Version'));
  t.equal(`${device.manufacturerId}`, field(info, 'Manufacturer ID'));
  t.equal(`${device.productId}`, field(info, 'Product ID').split(' ')[0]);
  t.equal(session.guid, field(await ipmitool(3, PORT, 'mc', 'guid', 'ipmi'), 'System GUID'));

  const status = await ipmitool(3, PORT, 'chassis', 'status');
  const chassis = await session.chassisStatus();
  t.equal(chassis.on ? 'on' : 'off', field(status, 'System Power'));
  t.equal(`${chassis.powerFault}`, field(status, 'Main Power Fault'));
  t.equal(`${chassis.coolingFault}`, field(status, 'Cooling/Fan Fault'));

  // "   1 | Pre-Init | ... " against ids; and the events' raw bytes.
  const listed = (await ipmitool(3, PORT, '-v', 'sel', 'list')).split('\n');
  const theirs = (name: string) => listed.filter((l) => l.startsWith(name)).map((l) => l.split(':')[1]?.trim());
  const ours = [];
  for await (const entry of session.selEntries()) ours.push(entry);
  t.equal(ours.length, (await session.selInfo()).entries);
  t.ok(ours.length >= 3);
  t.strictSame(
    ours.map((e) => e.id),
    theirs('SEL Record ID').map((id) => Number.parseInt(id ?? '', 16)),
  );
  t.strictSame(
    ours.map((e) => e.event?.sensor),
    theirs(' Sensor Number').map((n) => Number.parseInt(n ?? '', 16)),
  );
  t.strictSame(
    ours.map((e) => Buffer.from(e.event?.data ?? []).toString('hex')),
    theirs(' Event Data').map((d) => d?.slice(0, 6)),
  );

  const readings = (await ipmitool(3, PORT, 'sensor')).split('\n').map((l) => l.split('|').map((c) => c.trim()));
  const sensors = await session.sensors();
  t.strictSame(
    sensors.map((s) => [s.name, s.value?.toFixed(3)]),
    readings.map(([name, value]) => [name, value]),
  );
  const [temperature] = sensors;
  t.match(temperature, {
    level: 'critical',
    unit: 'C',
    thresholds: { upperNonCritical: 112, upperCritical: 144, upperNonRecoverable: 160 },
  });
  t.equal(readings[0]?.[3], 'cr', 'critical to ipmitool too');
});

t.test('a verified power-off, and on again', async (t) => {
  await bmcWith(t);
  t.match(await readPower(TARGET), { on: true });
  const evidence = await powerOffVerified(TARGET);
  t.equal(readFileSync(machine, 'utf8').trim(), 'off');
  t.equal(await ipmitool(3, PORT, 'chassis', 'power', 'status'), 'Chassis Power is off');
  t.ok(evidence.secondOffMs - evidence.firstOffMs >= 500);
  t.comment(`verified off after ${evidence.secondOffMs} ms, 500 of them the gap; the first "off" after ${evidence.firstOffMs} ms`);
  const session = await openIpmi(TARGET);
  t.teardown(() => session.close());
  await session.chassisControl('on');
  t.equal((await session.chassisStatus()).on, true);
});

t.test('a machine that is a process, started and ended by its BMC', async (t) => {
  await bmcWith(t, { kind: 'program', start: 'sleep 1000', startNow: false, vmPort: PORT + 1 });
  const session = await openIpmi(TARGET);
  t.teardown(() => session.close());
  t.equal((await session.chassisStatus()).on, false);
  await session.chassisControl('on');
  t.equal((await session.chassisStatus()).on, true);
  // It needs a second or two to end the process, and says "on" that long.
  const { steps } = await powerOffVerified(TARGET);
  t.match(steps.map((s) => s.step).join(' '), /readOn .*readOff .*readOff verified$/);
});

t.test('one that lies', async (t) => {
  const bmc = await bmcWith(t, { ...COMMANDS, set: 'true' });
  await t.rejects(powerOffVerified(TARGET, { deadlineMs: 1500 }), { name: 'PowerOffError', reason: 'stillOn' }, 'acknowledges, stays on');
  await bmc.stop();
  // This one says "off" of whatever runs. No question to it finds that out: the carrier on the direct links does.
  await bmcWith(t, { kind: 'commands', get: 'echo off', set: 'true' });
  t.equal((await powerOffVerified(TARGET)).steps.at(-1)?.step, 'verified');
  t.equal(readFileSync(machine, 'utf8').trim(), 'on');
});

t.test('one that hangs', async (t) => {
  const bmc = await bmcWith(t);
  const stop = (s: PowerOffStep) => {
    if (s.step === 'readOff') process.kill(bmc.pid, 'SIGSTOP');
  };
  await t.rejects(powerOffVerified(TARGET, { deadlineMs: 3000, onStep: stop }), { name: 'PowerOffError', reason: 'lost' }, 'in the middle');
  await t.rejects(powerOffVerified(TARGET), { name: 'PowerOffError', reason: 'unreachable' }, 'from the start');
  await t.rejects(readPower(TARGET), /the BMC at 127\.0\.0\.1:9823 does not answer within 1000 ms/);
  process.kill(bmc.pid, 'SIGCONT');
  t.match(await readPower(TARGET), { on: false }, 'and it comes back');
});

t.test('wrong credentials', async (t) => {
  await bmcWith(t);
  const wrong = { ...TARGET, password: 'wrong' };
  await t.rejects(powerOffVerified(wrong), { name: 'PowerOffError', reason: 'refused' });
  await t.rejects(readPower(wrong), /the BMC at 127\.0\.0\.1:9823 refused the password for 'twinstep'/);
  await t.rejects(readPower({ ...TARGET, username: 'nobody' }), /does not know the user 'nobody'/);
  await t.rejects(readPower({ ...TARGET, cipherSuite: 17 }), /does not offer cipher suite 17/);
  t.equal(readFileSync(machine, 'utf8').trim(), 'on');
});

for (const suite of [3, 17] as const) {
  t.test(`ipmitool as a client of the faked BMC, suite ${suite}`, async (t) => {
    const bmc = await FakeBmc.start({ ...CREDENTIALS, suites: [suite] });
    t.teardown(() => bmc.close());
    const ask = (...args: string[]) => ipmitool(suite, bmc.port, ...args);
    t.equal(field(await ask('mc', 'info'), 'Firmware Revision'), '1.23');
    await ask('chassis', 'power', 'off');
    t.equal(bmc.machine.running, false);
    t.equal(await ask('chassis', 'power', 'status'), 'Chassis Power is off');
    t.match(await ask('sel', 'list'), /Memory #0x05 \| Correctable ECC/);
    t.match(await ask('sdr'), /^CPU Temp\s+\| 45 degrees C\s+\| ok$/);
    const session = await openIpmi({ ...TARGET, port: bmc.port });
    t.teardown(() => session.close());
    t.equal(session.cipherSuite, suite);
    t.equal(session.guid, field(await ask('mc', 'guid', 'ipmi'), 'System GUID'));
  });
}
