// The mirror's worker thread as the tests start it: as the product does, but with ports that lead to the test.
import { type MessagePort, workerData } from 'node:worker_threads';
import type { MirrorSetup } from '../../appliance/mirror/api.ts';
import { runMirrorWorker } from '../../appliance/mirror/worker.ts';

export interface MirrorWorkerData {
  setup: MirrorSetup;
  port: MessagePort;
  commitPort: MessagePort;
}

const { setup, port, commitPort } = workerData as MirrorWorkerData;
runMirrorWorker(setup, port, commitPort);
