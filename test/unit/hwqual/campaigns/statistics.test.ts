import t from 'tap';
import { distribution, worstTcpStall } from '../../../../hwqual/campaigns/statistics.ts';

t.test('nearest rank', async (t) => {
  t.strictSame(distribution([]), { count: 0, p50: 0, p99: 0, max: 0 });
  t.strictSame(distribution([5]), { count: 1, p50: 5, p99: 5, max: 5 });
  t.strictSame(distribution([4, 1, 3, 2]), { count: 4, p50: 2, p99: 4, max: 4 });
  const hundred = Array.from({ length: 200 }, (_, i) => 200 - i);
  t.strictSame(distribution(hundred), { count: 200, p50: 100, p99: 198, max: 200 });
});

t.test('the silence of UDP is not the silence of a connection', async (t) => {
  t.equal(worstTcpStall({ echoUdp: 9000, record: 70, short: 50 }), 70);
  t.equal(worstTcpStall({}), 0);
});
