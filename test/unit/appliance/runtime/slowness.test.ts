import t from 'tap';
import { slownessOf } from '../../../../appliance/runtime/slowness.ts';
import { workerSetups } from '../../../../appliance/runtime/worker-setups.ts';
import { IntervalCounter } from '../../../../appliance/wire/interval.ts';
import { makeSecrets } from '../../../../hwqual/lab/configuration.ts';
import { DEFAULT_WORKLOAD, machineConfig } from '../../../../hwqual/lab/machines/configuration.ts';
import { machinesSettings } from '../../../../hwqual/lab/machines/settings.ts';

t.test("what the heartbeat's time-out says of a machine", async (t) => {
  const of = (timeoutMs: number) => slownessOf({ heartbeat: { intervalMs: 20, timeoutMs } });
  t.equal(of(200), 1);
  t.equal(of(1_000), 1);
  t.equal(of(10_000), 10);
});

t.test('the threads that wait for an engine are told, as the lab of emulated machines needs it', async (t) => {
  const config = machineConfig('A', await makeSecrets(), machinesSettings({ instance: '0' }), DEFAULT_WORKLOAD);
  const sockets = { gate: '/run/g', mirror: '/run/m', source: '/run/s', incoming: '/run/i' };
  const setups = workerSetups({ config, pairKey: Buffer.alloc(32), interval: new IntervalCounter(), sockets, adoptable: false });
  t.match(setups, { gate: { slowness: 10 }, memory: { slowness: 10 } });
});
