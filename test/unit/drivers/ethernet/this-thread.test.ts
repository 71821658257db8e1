import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { allowedCpus, parseCpuList, readClocks } from '../../../../drivers/ethernet/index.ts';

t.test('lists of CPUs', async (t) => {
  t.strictSame(parseCpuList('0-3,8\n'), [0, 1, 2, 3, 8]);
  t.strictSame(parseCpuList('5'), [5]);
  for (const bad of ['', '3-1', 'a', '1,,2', '-1']) t.throws(() => parseCpuList(bad), /is no list of CPUs/, bad);
  t.strictSame(allowedCpus('Name:\tx\nCpus_allowed_list:\t0,2\n'), [0, 2]);
  t.ok(allowedCpus().length > 0);
});

t.test('both clocks go on, and the wall clock is of today', async (t) => {
  const before = readClocks();
  const wallMs = Date.now() - Date.UTC(2020, 0, 1);
  const after = readClocks();
  t.ok(after.rawNs > before.rawNs);
  t.ok(before.realtimeNs / 1e6 - 1 <= wallMs && wallMs <= after.realtimeNs / 1e6 + 1, 'since 2020');
  t.ok(before.withinNs >= 0 && before.withinNs < 1e9);
});

t.test('a thread is put on one CPU, and only that thread', async (t) => {
  const all = allowedCpus();
  const wanted = all.at(-1) ?? 0;
  const index = new URL('../../../../drivers/ethernet/index.ts', import.meta.url);
  const code = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(index.href)}).then(({ setThreadCpu }) => {
      setThreadCpu(${wanted});
      let refused = '';
      try { setThreadCpu(1000); } catch (e) { refused = e.code; }
      parentPort.postMessage({ refused, status: require('node:fs').readFileSync('/proc/thread-self/status', 'latin1') });
    });`;
  const worker = new Worker(code, { eval: true });
  const told = await new Promise<{ refused: string; status: string }>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  });
  t.strictSame(allowedCpus(told.status), [wanted]);
  t.equal(told.refused, 'EINVAL', 'there is no CPU 1000 here');
  t.strictSame(allowedCpus(readFileSync('/proc/thread-self/status', 'latin1')), all, 'not this one');
});
