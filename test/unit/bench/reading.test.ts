import t from 'tap';
import { nicCounters, parseStat, quantile, type Reading, usageBetween } from '../../bench/reading.ts';
import { parsePgbench } from '../../bench/session.ts';

const STAT = '4711 (a (b) c) S 1 4711 4711 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 11 0 5000 1000000 200 0';
const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
 link1:    1000      10    0    0    0     0          0         0     2000      20    0    0    0     0       0          0
 link2:     500       5    0    0    0     0          0         0      600       6    0    0    0     0       0          0
  lan0:      70       7    0    0    0     0          0         0       80       8    0    0    0     0       0          0
`;

t.test('the kernel texts', async (t) => {
  t.strictSame(parseStat(STAT), { name: 'a (b) c', ticks: 168 });
  t.strictSame(nicCounters(DEV, /^link\d$/), { bytes: 4100, frames: 41 });
  t.strictSame(nicCounters(DEV, /^lan0$/), { bytes: 150, frames: 15 });
  t.equal(quantile([], 0.5), null);
  t.equal(quantile([1, 2, 3], 0.99), 3);
});

t.test("pgbench's page", async (t) => {
  const page = 'duration: 4 s\nlatency average = 96.897 ms\ntps = 20.640558 (without initial connection time)\n';
  t.strictSame(parsePgbench(page), { tps: 20.640558, latencyMs: 96.897 });
  t.equal(parsePgbench('number of transactions actually processed: 0\n'), null);
});

const none = { gate: 0, memory: 0, mirror: 0, other: 0, engine: 0 };

function reading(change: Partial<Reading>): Reading {
  const cpuMs = { primary: { ...none }, secondary: { ...none } };
  return { atMs: 0, wallMs: 0, frames: 0, cpuMs, linkBytes: 0, checkpointBytes: 0, checkpoints: null, ...change };
}

t.test('between two readings', async (t) => {
  const before = reading({ checkpoints: { count: 5, streamBytes: [], pausesMs: [], causes: { data: 2, ack: 1 } } });
  const after = reading({
    atMs: 2000,
    frames: 1000,
    cpuMs: { primary: { ...none, gate: 20, engine: 100 }, secondary: { ...none, other: 30, engine: 50 } },
    linkBytes: 10_000,
    checkpointBytes: 8000,
    checkpoints: { count: 9, streamBytes: [4000, 6000], pausesMs: [30, 10, 20], causes: { data: 6, ack: 1 } },
  });
  const usage = usageBetween(before, after);
  t.strictSame(usage.cpuUsPerFrame, { gate: 20, product: 50, engine: 150, all: 200 });
  t.equal(usage.checkpointsPerS, 2);
  t.equal(usage.bytesPerCheckpoint, 2000);
  t.equal(usage.streamBytesPerCheckpoint, 5000);
  t.equal(usage.linkBytesPerS, 5000);
  t.equal(usage.pauseP50Ms, 20);
  t.strictSame(usage.causes, { data: 4 }, 'only what was asked for meanwhile');
});

t.test('what is not known is not a number', async (t) => {
  const usage = usageBetween(reading({}), reading({ atMs: 1000, frames: 3 }));
  t.equal(usage.cpuUsPerFrame, null, 'three frames a second');
  t.equal(usage.checkpointsPerS, null);
  t.equal(usage.bytesPerCheckpoint, null);
});
