import t from 'tap';
import { Histogram } from '../../../../hwqual/lab/clients/histogram.ts';

t.test('percentiles within 5 %', async (t) => {
  const histogram = new Histogram();
  for (let ms = 1; ms <= 1000; ms++) histogram.add(ms);
  const { count, p50, p99, max } = histogram.percentiles();
  t.equal(count, 1000);
  t.ok(p50 >= 500 && p50 <= 525, `p50 ${p50}`);
  t.ok(p99 >= 990 && p99 <= 1000, `p99 ${p99}`);
  t.equal(max, 1000);
});

t.test('merge, clear, extremes', async (t) => {
  const a = new Histogram();
  const b = new Histogram();
  t.strictSame(a.percentiles(), { count: 0, p50: 0, p99: 0, max: 0 });
  a.add(0);
  b.add(1e9);
  a.merge(b);
  t.equal(a.percentiles().max, 1e9);
  t.equal(a.percentiles().count, 2);
  a.clear();
  t.equal(a.percentiles().count, 0);
});
