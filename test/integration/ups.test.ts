// The driver against Debian's upsd with its dummy-ups: a UPS that is a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { readUps } from '../../drivers/ups/index.ts';

t.setTimeout(90_000);

const UPSD = '/lib/nut/upsd';
const PORT = 9163;
const why = process.getuid?.() !== 0 ? 'needs root' : existsSync(UPSD) ? false : 'needs nut-server: apt-get install nut-server';

t.test("Debian's upsd", { skip: why }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ups-'));
  const write = (name: string, text: string) => {
    writeFileSync(join(directory, `${name}.new`), text, { mode: 0o600 });
    renameSync(join(directory, `${name}.new`), join(directory, name));
  };
  const set = (status: string) => write('rack.dev', `ups.status: ${status}\nbattery.charge: 97\nbattery.runtime: 1260\n`);
  write('ups.conf', `[rack]\n  driver = dummy-ups\n  port = ${directory}/rack.dev\n  mode = dummy-once\n  pollinterval = 1\n`);
  write('upsd.conf', `LISTEN 127.0.0.1 ${PORT}\n`);
  write('upsd.users', '');
  set('OL');
  const started: ChildProcess[] = [];
  const start = (program: string, args: string[]) => {
    const env = { ...process.env, NUT_CONFPATH: directory, NUT_STATEPATH: directory };
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args, '-u', 'root', '-F'], { stdio: 'ignore', env });
    started.push(child);
    return child;
  };
  t.teardown(async () => {
    for (const child of started) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(directory, { recursive: true });
  });
  const until = async (what: string, look: () => Promise<boolean>) => {
    const end = performance.now() + 30_000;
    while (!(await look())) {
      if (performance.now() > end) throw new Error(`not within 30 s: ${what}`);
      await pause(100);
    }
  };
  const target = { address: '127.0.0.1', port: PORT, name: 'rack' };
  const said = () => readUps(target).then(JSON.stringify, (e: Error) => e.message);

  await t.rejects(readUps(target), /ECONNREFUSED/);
  const driver = start('/lib/nut/dummy-ups', ['-a', 'rack']);
  await until('the driver runs', async () => existsSync(join(directory, 'dummy-ups-rack')));
  start(UPSD, []);
  await until('on line', async () => (await said()).includes('"OL"'));
  t.same(await readUps(target), { onBattery: false, low: false, chargePercent: 97, runtimeS: 1260, status: 'OL' });
  await t.rejects(readUps({ ...target, name: 'attic' }), /does not know it/);
  set('OB DISCHRG');
  await until('on battery', async () => (await said()).includes('"onBattery":true'));
  t.match(await readUps(target), { onBattery: true, low: false });
  set('OB DISCHRG LB');
  await until('low', async () => (await said()).includes('"low":true'));
  t.match(await readUps(target), { onBattery: true, low: true });
  driver.kill('SIGKILL');
  await until('the driver is gone', async () => (await said()).includes('its driver does not run'));
  t.pass('and that is said');
});
