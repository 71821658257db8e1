// A partition of a disk that is a file, as the appliance's own code sees a block device.
import { type BlockStore, FileStore } from '../../../drivers/block/index.ts';
import { type Partition, SECTOR_BYTES } from '../../../image/disk/gpt.ts';

export async function partitionStore(disk: string, { firstSector, sectors }: Partition): Promise<BlockStore> {
  const offset = firstSector * SECTOR_BYTES;
  const sizeBytes = sectors * SECTOR_BYTES;
  const store = await FileStore.open({ path: disk, sizeBytes: offset + sizeBytes });
  return {
    sizeBytes,
    read: (at, length) => store.read(offset + at, length),
    write: (at, ...parts) => store.write(offset + at, ...parts),
    zero: (at, length, options) => store.zero(offset + at, length, options),
    flush: () => store.flush(),
    close: () => store.close(),
  };
}
