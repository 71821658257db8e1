// What a mirror finds around it, in the thread or in a test.
import type { BlockStore, FileStoreOptions } from '../../drivers/block/index.ts';
import type { Channel } from '../../drivers/link/index.ts';
import type { MirrorEvents } from './api.ts';
import type { MetadataScale } from './metadata.ts';

export interface MirrorSurroundings {
  channel: Channel;
  /** The present checkpoint interval. */
  interval(): number;
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  scale?: MetadataScale;
  /** How long requests wait that will fail (quarantine.ts, guest-disk.ts): other times in tests. */
  holds?: { quarantineMs?: number; aloneErrorMs?: number };
  emit<K extends keyof MirrorEvents>(name: K, data: MirrorEvents[K]): void;
}
