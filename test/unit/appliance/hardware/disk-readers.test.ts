import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { latencyReader, smartReader } from '../../../../appliance/hardware/disk-readers.ts';
import { FakeCounters } from '../../../../drivers/counters/fake.ts';
import { FakeSmartctl } from '../../../../drivers/smart/fake.ts';
import { Smart } from '../../../../drivers/smart/index.ts';

const TESTDATA = join(import.meta.dirname, '../../../../drivers/smart/testdata');
const printed = (name: string) => readFileSync(join(TESTDATA, `${name}.json`), 'utf8');

t.test('every real disk is read, by the name that both drivers have for it', async (t) => {
  const counters = new FakeCounters();
  const smartctl = new FakeSmartctl();
  t.teardown(() => [counters, smartctl].map((fake) => fake.close()));
  const line = (name: string) => `8 0 ${name} 1 2 3 4 5 6 7 8 9 10 11`;
  counters.disks(['sda', 'sda1', 'nvme0n1', 'vda', 'sr0', 'loop0'].map(line), ['sda', 'nvme0n1', 'vda', 'sr0']);
  smartctl.set('/dev/sda', { output: printed('ata-hdd-failing'), exitStatus: 216 });
  smartctl.set('/dev/nvme0n1', { output: 'garbage' });
  t.match(await latencyReader({ totalSince: () => 1 }, counters).read(), {
    source: 'disks',
    lateMs: 1,
    disks: [{ disk: '/dev/nvme0n1' }, { disk: '/dev/sda', reads: 1, readMs: 4 }, { disk: '/dev/vda' }],
  });
  const reading = await smartReader(1, new Smart({ program: smartctl.program }), counters).read();
  t.match(reading, {
    source: 'smart',
    disks: [{ disk: '/dev/sda', passed: false }],
    failed: [{ disk: '/dev/nvme0n1', reason: /garbage/ }],
  });
});
