// The lab's BMC (Debian's ipmi_sim) seen by Debian's ipmitool: what the fencing tests rely on works without any code of ours in between.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t from 'tap';
import { type BmcOptions, startBmc } from '../../hwqual/lab/bmc.ts';
import { identify, isAlive, processTree } from '../../hwqual/lab/processes.ts';

const PORT = 9723;
const NAMESPACE = `tsx-ip-${process.pid}`;
const run = promisify(execFile);

const directory = mkdtempSync(join(tmpdir(), 'twinstep-bmc-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const machine = join(directory, 'machine');
const options: BmcOptions = {
  directory: join(directory, 'bmc'),
  address: '127.0.0.1',
  port: PORT,
  username: 'twinstep',
  password: 'only-for-tests',
  power: { kind: 'commands', get: `cat ${machine}`, set: `put() { echo "$1" >${machine}; }; put` },
};

const COMMON = ['-I', 'lanplus', '-C', '3', '-H', '127.0.0.1', '-p', `${PORT}`, '-U', 'twinstep', '-P', 'only-for-tests'];

async function ipmitool(args: string[], before: string[] = []): Promise<string> {
  if (!existsSync('/usr/bin/ipmitool')) throw new Error('ipmitool is not installed: apt-get install ipmitool');
  const [program = '', ...rest] = [...before, 'ipmitool', ...COMMON, ...args];
  return (await run(program, rest)).stdout.trim();
}

t.test('power as the lab defines it, sensors, events', async (t) => {
  writeFileSync(machine, 'on\n');
  const bmc = await startBmc({ ...options, consolePort: PORT + 1 });
  t.teardown(() => bmc.stop());
  t.equal(await ipmitool(['chassis', 'power', 'status']), 'Chassis Power is on');
  await ipmitool(['chassis', 'power', 'off']);
  t.equal(readFileSync(machine, 'utf8').trim(), 'off', 'the command was told');
  t.equal(await ipmitool(['chassis', 'power', 'status']), 'Chassis Power is off');
  await ipmitool(['chassis', 'power', 'on']);
  t.equal(readFileSync(machine, 'utf8').trim(), 'on');
  await ipmitool(['chassis', 'power', 'reset']);
  t.equal(readFileSync(machine, 'utf8').trim(), 'reset', 'which is no state to read');
  await t.rejects(ipmitool(['chassis', 'power', 'status']), 'so the BMC says that it does not know');

  await bmc.command('sensor_set_value 0x20 0 1 0x55 1');
  t.match(await ipmitool(['sensor', 'reading', 'CPU Temp']), /\| 85$/);
  await t.rejects(bmc.command('sensor_set_value 0x20 0 99 1 1'), /does not take/);
  const console = connect(PORT + 1, '127.0.0.1');
  t.teardown(() => console.destroy());
  await once(console, 'connect');
  console.write('sel_add 0x20 0x02 0x00 0x00 0x00 0x00 0x20 0x00 0x04 0x0c 0x10 0x6f 0xa1 0xff 0xff\n');
  let said = '';
  for await (const chunk of console) {
    said += chunk;
    if (/Added record \d+/.test(said)) break;
  }
  t.match(await ipmitool(['sel', 'list']), /Uncorrectable ECC/, 'by the console port');
});

t.test('a machine that is a process of the BMC', async (t) => {
  const bmc = await startBmc({ ...options, power: { kind: 'program', start: 'sleep 1000', startNow: false, vmPort: PORT + 2 } });
  t.teardown(() => bmc.stop());
  t.equal(await ipmitool(['chassis', 'power', 'status']), 'Chassis Power is off');
  await ipmitool(['chassis', 'power', 'on']);
  t.equal(await ipmitool(['chassis', 'power', 'status']), 'Chassis Power is on');
  const machines = () => processTree(bmc.pid).slice(1).map(identify);
  const started = machines();
  t.strictSame(started.map(isAlive), [true]);
  await ipmitool(['chassis', 'power', 'off']);
  while ((await ipmitool(['chassis', 'power', 'status'])) !== 'Chassis Power is off') await sleep(50);
  t.strictSame(started.map(isAlive), [false]);

  await ipmitool(['chassis', 'power', 'on']);
  const left = machines();
  t.equal(left.length, 1);
  await bmc.stop();
  t.notOk(left.some(isAlive), 'nothing is left when the BMC is stopped');
});

t.test('in a namespace', async (t) => {
  writeFileSync(machine, 'on\n');
  await run('ip', ['netns', 'add', NAMESPACE]);
  t.teardown(() => run('ip', ['netns', 'del', NAMESPACE]));
  await run('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up']);
  const bmc = await startBmc({ ...options, netns: NAMESPACE });
  t.teardown(() => bmc.stop());
  t.equal(await ipmitool(['chassis', 'power', 'status'], ['nsenter', `--net=/run/netns/${NAMESPACE}`, '--']), 'Chassis Power is on');
  t.match(await bmc.command('sel_add 0x20 2 0 0 0 0 0x20 0 4 0x0c 0x10 0x6f 0xa1 0xff 0xff'), /Added record 1/);
  process.kill(bmc.pid, 'SIGSTOP');
  await bmc.stop();
  await bmc.ended;
  t.notOk(existsSync(`/proc/${bmc.pid}`), 'a stopped one too can be ended');
});

t.test('what cannot work is said', async (t) => {
  writeFileSync(machine, 'on\n');
  const bmc = await startBmc(options);
  t.teardown(() => bmc.stop());
  await t.rejects(startBmc({ ...options, directory: join(directory, 'second') }), /127\.0\.0\.1:9723: another program/, 'a port in use');
  await t.rejects(startBmc({ ...options, port: PORT + 5, commands: ['main_sdr_add 0x20 0xzz'] }), /does not listen: .*data byte/);
  await t.rejects(startBmc({ ...options, password: 'more than twenty characters' }), /1 to 20 printable/);
  await t.rejects(startBmc({ ...options, address: 'localhost' }), /IPv4/);
});
