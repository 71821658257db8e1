// The memory stream's worker thread as the tests start it: as the product does, but with ports that lead to the test.
import { type MessagePort, workerData } from 'node:worker_threads';
import type { MemorySetup } from '../../appliance/memory/api.ts';
import { runMemoryWorker } from '../../appliance/memory/worker.ts';

export interface MemoryWorkerData {
  setup: MemorySetup;
  port: MessagePort;
  cutPort: MessagePort;
  commitPort: MessagePort;
}

const { setup, port, cutPort, commitPort } = workerData as MemoryWorkerData;
runMemoryWorker(setup, port, cutPort, commitPort);
