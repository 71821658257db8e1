// How long the primary's side waits for the secondary's engine at a checkpoint, on an ordinary machine and on a slow one.
import { mock } from 'node:test';
import t from 'tap';
import { ENGINE_WITHIN_MS } from '../../../../appliance/memory/answer-deadline.ts';
import { CheckpointOrder } from '../../../../appliance/memory/checkpoint-order.ts';
import { IntervalCounter } from '../../../../appliance/wire/interval.ts';

const INTERVAL = new IntervalCounter();

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
t.afterEach(() => mock.timers.reset());

function orderOn(slowness: number | undefined): { order: CheckpointOrder; lost: string[] } {
  const lost: string[] = [];
  const done = () => Promise.resolve();
  const order = new CheckpointOrder(
    false,
    {
      interval: INTERVAL,
      send: () => true,
      emit: () => undefined,
      ...{ cut: done, replied: null, ready: null, commitOutput: done, decide: done, apply: done, nowMs: () => 0 },
      ...(slowness === undefined ? {} : { slowness }),
    },
    { toEngine: () => undefined, resumes: () => undefined, lose: (_, reason) => lost.push(reason), hasEnded: () => false },
  );
  return { order, lost };
}

t.test('a slow machine gets that many times longer to stop', async (t) => {
  const [ordinary, slow] = [orderOn(undefined), orderOn(10)];
  for (const { order } of [ordinary, slow]) order.stop(order.begin());
  mock.timers.tick(ENGINE_WITHIN_MS);
  t.match(ordinary.lost, [/did not stop for the checkpoint of interval \d+ within 4000 ms/]);
  t.same(slow.lost, []);
  mock.timers.tick(9 * ENGINE_WITHIN_MS);
  t.match(slow.lost, [/within 40000 ms/]);
});
