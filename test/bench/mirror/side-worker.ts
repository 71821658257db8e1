// The mirror's thread as the product starts it; only here may its links go without encryption.
import { workerData } from 'node:worker_threads';
import { type MirrorEdges, runMirrorWorker } from '../../../appliance/mirror/worker.ts';
import { STREAM_PORTS, STREAM_PRIORITIES } from '../../../appliance/wire/channel-setup.ts';
import { deriveKey } from '../../../appliance/wire/keys.ts';
import { FileStore } from '../../../drivers/block/index.ts';
import { setTrafficClass } from '../../../drivers/ethernet/index.ts';
import { PairChannel } from '../../../drivers/link/index.ts';
import type { MirrorWorkerData } from '../../integration/mirror-worker.ts';
import { createPlainEndpoint } from './plain-endpoint.ts';

const PLAIN: MirrorEdges = {
  openChannel: ({ side, links, pairKey }) =>
    new PairChannel(
      {
        side,
        port: STREAM_PORTS.disk,
        links,
        key: deriveKey(pairKey, 'stream:disk'),
        onSocket: (fd) => setTrafficClass(fd, STREAM_PRIORITIES.disk),
      },
      createPlainEndpoint,
    ),
  openStore: (options) => FileStore.open(options),
};

const { setup, port, commitPort, encrypted } = workerData as MirrorWorkerData & { encrypted: boolean };
if (encrypted) runMirrorWorker(setup, port, commitPort);
else runMirrorWorker(setup, port, commitPort, PLAIN);
