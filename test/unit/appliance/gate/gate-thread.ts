// A gate's worker thread with a LAN of our own: frames to and from it are batches on `lanPort`; a boolean there is the carrier.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { GateSetup } from '../../../../appliance/gate/api.ts';
import { runGateWorker } from '../../../../appliance/gate/worker.ts';
import { fakePair } from '../../../../drivers/link/fake.ts';

const { setup, cutPort, lanPort } = workerData as { setup: GateSetup; cutPort: MessagePort; lanPort: MessagePort };
if (!parentPort) throw new Error('to be started as a worker thread');
let up = true;
runGateWorker(setup, parentPort, cutPort, {
  openLan: () => ({
    send: (batch) => {
      lanPort.postMessage(Buffer.from(batch));
      return batch.length;
    },
    onFrames: (callback) => {
      lanPort.on('message', (m: Uint8Array | boolean) => {
        if (typeof m === 'boolean') up = m;
        else callback(Buffer.from(m));
      });
    },
    onWritable: () => {},
    health: () => ({ sendLost: 0, receiveLost: 0, problem: '' }),
    close: () => lanPort.close(),
  }),
  openChannel: () => fakePair().a,
  carrier: () => up,
});
