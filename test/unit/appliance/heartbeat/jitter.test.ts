import t from 'tap';
import { floorMs, JitterMeter } from '../../../../appliance/heartbeat/jitter.ts';

t.test('percentiles and the worst', async (t) => {
  const meter = new JitterMeter(0);
  t.same(meter.read(), { samples: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 });
  for (let i = 0; i < 100; i++) meter.add(i, i < 99 ? 0.25 : 12.5);
  const { samples, p50Ms, p99Ms, maxMs } = meter.read();
  t.equal(samples, 100);
  t.ok(Math.abs(p50Ms - 0.3) < 1e-9);
  t.ok(Math.abs(p99Ms - 0.3) < 1e-9);
  t.equal(maxMs, 12.5);
  meter.add(101, 5000);
  meter.add(102, -1);
  t.equal(meter.read().maxMs, 5000);
});

t.test('an old stall is forgotten after one to two minutes', async (t) => {
  const meter = new JitterMeter(0);
  meter.add(10, 40);
  meter.add(60_001, 1);
  t.equal(meter.maxMs, 40);
  meter.add(120_002, 1);
  t.equal(meter.maxMs, 1);
  t.equal(meter.read().samples, 2);
});

t.test('the floor', async (t) => {
  t.equal(floorMs(10, 0), 30);
  t.equal(floorMs(10, 20), 70);
});
