import t from 'tap';
import { slownessOf } from '../../../../appliance/runtime/slowness.ts';

t.test("what the heartbeat's time-out says of a machine", async (t) => {
  const of = (timeoutMs: number) => slownessOf({ heartbeat: { intervalMs: 20, timeoutMs } });
  t.equal(of(200), 1);
  t.equal(of(1_000), 1);
  t.equal(of(10_000), 10);
});
