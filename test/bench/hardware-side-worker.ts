// The appliance's hardware thread on this machine's kernel, a BMC of 100 sensors and four disks that are faked below the real drivers.
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { bmcReaders } from '../../appliance/hardware/bmc-readers.ts';
import { latencyReader } from '../../appliance/hardware/disk-readers.ts';
import { kernelReaders } from '../../appliance/hardware/kernel-readers.ts';
import { Punctuality } from '../../appliance/hardware/punctuality.ts';
import type { Reader } from '../../appliance/hardware/reader.ts';
import { runHardwareWorker } from '../../appliance/hardware/worker.ts';
import { FakeIpmiDevice } from '../../drivers/ipmi/fake-local.ts';
import { openLocalIpmi } from '../../drivers/ipmi/index.ts';
import { FakeSmartctl } from '../../drivers/smart/fake.ts';
import { Smart } from '../../drivers/smart/index.ts';

const SENSORS = 100;
const DISKS = ['/dev/a', '/dev/b', '/dev/c', '/dev/d'];
/** The appliance asks every five minutes; so it happens while it is measured. */
const SMART_EVERY_MS = 10_000;
const TESTDATA = join(import.meta.dirname, '../../drivers/smart/testdata');

const device = new FakeIpmiDevice();
const { machine } = device;
const first = machine.sdrs[0];
if (!first) throw new Error('the fake BMC has no sensor');
for (let n = 2; n <= SENSORS; n++) {
  const record = Buffer.from(first);
  record.writeUInt16LE(n, 0);
  record.writeUInt8(n, 7);
  machine.sdrs.push(record);
  machine.readings.set(n, { raw: 45, states: 0 });
}

const smartctl = new FakeSmartctl();
process.on('exit', () => smartctl.close());
const output = readFileSync(join(TESTDATA, 'ata-hdd-healthy.json'), 'utf8');
for (const disk of DISKS) smartctl.set(disk, { output });
const smart = new Smart({ program: smartctl.program });
const disks: Reader = {
  source: 'smart',
  everyMs: SMART_EVERY_MS,
  read: async () => ({ source: 'smart', disks: await Promise.all(DISKS.map((path) => smart.read({ path }))), failed: [] }),
};

const nics = Object.keys(networkInterfaces()).map((nic) => ({ nic, role: 'link' as const }));
if (!parentPort) throw new Error('this is a thread');
runHardwareWorker({ bmc: '/dev/ipmi0', copy: '/var/lib', nics, stateDir: '/var/lib' }, parentPort, [
  ...bmcReaders('/dev/ipmi0', (path) => openLocalIpmi(path, { native: device })),
  disks,
  latencyReader(new Punctuality()),
  ...kernelReaders(nics),
]);
