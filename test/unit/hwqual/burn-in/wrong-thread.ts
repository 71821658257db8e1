// A core that computes wrong.
import { parentPort, workerData } from 'node:worker_threads';
import { KERNELS } from '../../../../hwqual/burn-in/processor-kernels.ts';
import { processorWork } from '../../../../hwqual/burn-in/processor-work.ts';
import type { BurnInRole } from '../../../../hwqual/burn-in/worker.ts';

const { setup } = workerData as BurnInRole;
if (parentPort && setup.work === 'processor') {
  const port = parentPort;
  const stop = new AbortController();
  port.once('message', () => stop.abort());
  const wrong = KERNELS.map((k) => (k.name === 'integer' ? { ...k, compute: () => 'ffff' } : k));
  port.postMessage({ kind: 'done', result: await processorWork(setup, stop.signal, () => {}, wrong) });
  port.close();
}
