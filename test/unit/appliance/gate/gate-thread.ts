// A gate's worker thread with a LAN of our own: frames to and from it are batches on `lanPort`; a boolean there is the carrier.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { GateSetup } from '../../../../appliance/gate/api.ts';
import { MACHINE_EDGES, runGateWorker } from '../../../../appliance/gate/worker.ts';
import { fakePair } from '../../../../drivers/link/fake.ts';

export interface GateThreadData {
  setup: GateSetup;
  cutPort: MessagePort;
  lanPort: MessagePort;
  /** The real channel to a partner, instead of one that has none. */
  withPartner: boolean;
}

const { setup, cutPort, lanPort, withPartner } = workerData as GateThreadData;
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
  openChannel: withPartner ? MACHINE_EDGES.openChannel : () => fakePair().a,
  carrier: () => up,
});
