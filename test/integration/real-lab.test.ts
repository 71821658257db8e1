// A lab of real servers, all of its devices standing in: BMCs by Debian's ipmi_sim, a serial line by a pair of ptys. Its own code is the real one.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { startBmc } from '../../hwqual/lab/bmc.ts';
import { openRealLab } from '../../hwqual/lab/real-lab.ts';
import { SerialLine } from '../../hwqual/lab/serial-line.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const PORT = 17_633;
const directory = mkdtempSync(join(tmpdir(), 'real-lab-'));
const machine = join(directory, 'machine');
writeFileSync(machine, 'off');
writeFileSync(join(directory, 'a.password'), 'only-for-tests\n', { mode: 0o600 });
const bmc = await startBmc({
  ...{ directory: join(directory, 'bmc'), address: '127.0.0.1', port: PORT, username: 'twinstep', password: 'only-for-tests' },
  power: { kind: 'commands', get: `cat ${machine}`, set: `put() { echo "$1" >${machine}; }; put` },
});
const line = await SerialLine.open(join(directory, 'serial'), engineRootPath());
const server = (port: number, device: string) => ({
  bmc: { address: '127.0.0.1', port, username: 'twinstep', passwordFile: 'a.password', cipherSuite: 3 },
  serial: { device },
});
writeFileSync(
  join(directory, 'real.yaml'),
  stringify({ servers: { A: server(PORT, line.operatorEnd), B: server(PORT + 1, '/dev/no-such-line') } }),
);
const lab = openRealLab(join(directory, 'real.yaml'), () => undefined);
t.teardown(async () => {
  await lab.close();
  await line.close();
  await bmc.stop();
  rmSync(directory, { recursive: true });
});

t.test('power by the BMC: on, status, off verified; a BMC that is not there is named', async (t) => {
  const power = lab.power('A');
  t.equal(await power.status(), 'off');
  await power.on();
  t.equal(readFileSync(machine, 'utf8').trim(), 'on');
  t.equal(await power.status(), 'on');
  const { firstOffMs, secondOffMs } = await power.off();
  t.ok(secondOffMs > firstOffMs, 'read twice');
  t.equal(readFileSync(machine, 'utf8').trim(), 'off');
  await t.rejects(lab.power('B').status(), { name: 'IpmiError', message: /127\.0\.0\.1/ });
});

t.test('the console is a byte stream, both ways', async (t) => {
  const leave = line.attach();
  t.teardown(leave);
  const near = await lab.console('A');
  const far = await import('../../drivers/serial/index.ts').then(({ openSerialPort }) => openSerialPort({ path: line.coServerEnd }));
  const heard = (from: typeof near) => new Promise<string>((resolve) => from.once('data', (chunk: Buffer) => resolve(chunk.toString())));
  await Promise.all([near, far].map((end) => new Promise((resolve) => end.once('opened', resolve))));
  const [there, back] = [heard(far), heard(near)];
  near.write('k');
  t.equal(await there, 'k');
  far.write('s');
  t.equal(await back, 's');
  far.destroy();
});
