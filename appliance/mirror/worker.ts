// The mirror's worker thread: opens the channel to the partner, answers the main thread and the memory stream.
import { type BlockStore, FileStore, type FileStoreOptions } from '../../drivers/block/index.ts';
import { setTrafficClass } from '../../drivers/ethernet/index.ts';
import { type Channel, PairChannel } from '../../drivers/link/index.ts';
import { type ChannelSetup, STREAM_PORTS, STREAM_PRIORITIES } from '../wire/channel-setup.ts';
import { IntervalCounter } from '../wire/interval.ts';
import { deriveKey } from '../wire/keys.ts';
import { type Port, serve } from '../wire/rpc.ts';
import type { CommitCommands, MirrorCommands, MirrorEvents, MirrorSetup } from './api.ts';
import type { MetadataScale } from './metadata.ts';
import { Mirror } from './mirror.ts';
import type { MirrorSurroundings } from './surroundings.ts';

const STATUS_EVERY_MS = 1_000;

/** What a test may put in place of the machine's own. */
export interface MirrorEdges {
  openChannel(setup: ChannelSetup): Channel;
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  scale?: MetadataScale;
  holds?: MirrorSurroundings['holds'];
}

const MACHINE: MirrorEdges = {
  openChannel: (setup) =>
    new PairChannel({
      side: setup.side,
      port: STREAM_PORTS.disk,
      links: setup.links,
      key: deriveKey(setup.pairKey, 'stream:disk'),
      onSocket: (fd) => setTrafficClass(fd, STREAM_PRIORITIES.disk),
    }),
  openStore: (options) => FileStore.open(options),
};

/** Serves MirrorCommands on `port` and CommitCommands on `commitPort`. The channel lives as long as the thread. */
export function runMirrorWorker(setup: MirrorSetup, port: Port, commitPort: Port, edges: MirrorEdges = MACHINE): void {
  const interval = new IntervalCounter(setup.interval);
  const mirror: Mirror = new Mirror(setup, {
    channel: edges.openChannel(setup.channel),
    interval: () => interval.current,
    openStore: edges.openStore,
    ...(edges.scale ? { scale: edges.scale } : {}),
    ...(edges.holds ? { holds: edges.holds } : {}),
    emit: (name, data) => emit(name, data),
  });
  const emit = serve<MirrorCommands, MirrorEvents>(port, mirror.commands);
  serve<CommitCommands, Record<string, never>>(commitPort, mirror.commitCommands);
  setInterval(() => emit('status', mirror.status()), STATUS_EVERY_MS).unref();
}
