import t from 'tap';
import { GAP_LIMIT_BATCHES, GAP_LIMIT_BYTES, GAP_LIMIT_MS, GapInputs } from '../../../../appliance/gate/gap-inputs.ts';

const batch = (label: number, bytes = 100): Buffer => Buffer.alloc(bytes, label);
const labels = (list: readonly Buffer[]): (number | undefined)[] => list.map((b) => b[0]);

t.test('in order, once, in a memory of its own', async (t) => {
  const gap = new GapInputs();
  const shared = batch(1);
  gap.record(shared, 0);
  shared.fill(9);
  gap.record(batch(2), 5);
  t.same(labels(gap.takeAll(10)), [1, 2]);
  t.same(gap.takeAll(10), []);
});

t.test('what came before the partner’s last inputs was fed by the partner, but for what may have overtaken them', async (t) => {
  const gap = new GapInputs();
  gap.record(batch(1), 0);
  gap.record(batch(2), 90);
  gap.partnerFed(100);
  gap.record(batch(3), 200);
  t.same(labels(gap.takeAll(300)), [2, 3]);
});

t.test('old ones are forgotten, and the oldest at the limit', async (t) => {
  const gap = new GapInputs();
  gap.record(batch(1), 0);
  gap.record(batch(2), 1000);
  t.same(labels(gap.takeAll(GAP_LIMIT_MS + 500)), [2]);
  for (let i = 1; i <= 5; i++) gap.record(batch(i, GAP_LIMIT_BYTES / 4), i);
  t.same(labels(gap.takeAll(10)), [2, 3, 4, 5]);
  for (let i = 0; i < GAP_LIMIT_BATCHES + 3; i++) gap.record(batch(i % 251, 1), 15);
  const kept = labels(gap.takeAll(15));
  t.same([kept.length, kept[0]], [GAP_LIMIT_BATCHES, 3]);
  gap.record(batch(1, GAP_LIMIT_BYTES + 1), 20);
  t.same(gap.takeAll(20), []);
});
