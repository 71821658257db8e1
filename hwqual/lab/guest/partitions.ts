// The table of partitions at the start of a disk (MBR): four entries of 16 bytes at 446, then 55 aa. An entry: status, CHS of the first
// sector (3), type, CHS of the last (3), first sector, sectors; the last two as 32 bits, little-endian. Pure.

const SECTOR_BYTES = 512;
const TABLE_AT = 446;
const ENTRY_BYTES = 16;
const MAX_PARTITIONS = 4;
const TYPE_LINUX = 0x83;
/** CHS that says: look at the sector numbers. */
const CHS_UNUSED = [0xfe, 0xff, 0xff];

export interface Partition {
  startBytes: number;
  sizeBytes: number;
}

/** The first sector of the disk. */
export function partitionTable(partitions: readonly Partition[]): Buffer {
  if (partitions.length > MAX_PARTITIONS) throw new Error(`a disk has at most ${MAX_PARTITIONS} partitions, not ${partitions.length}`);
  const sector = Buffer.alloc(SECTOR_BYTES);
  partitions.forEach(({ startBytes, sizeBytes }, i) => {
    const at = TABLE_AT + i * ENTRY_BYTES;
    sector.set([0, ...CHS_UNUSED, TYPE_LINUX, ...CHS_UNUSED], at);
    sector.writeUInt32LE(startBytes / SECTOR_BYTES, at + 8);
    sector.writeUInt32LE(sizeBytes / SECTOR_BYTES, at + 12);
  });
  sector.set([0x55, 0xaa], SECTOR_BYTES - 2);
  return sector;
}

/** What a disk's first sector tells; none: it has no table. */
export function readPartitionTable(sector: Buffer): Partition[] {
  if (sector[SECTOR_BYTES - 2] !== 0x55 || sector[SECTOR_BYTES - 1] !== 0xaa) return [];
  return Array.from({ length: MAX_PARTITIONS }, (_, i) => TABLE_AT + i * ENTRY_BYTES).flatMap((at) =>
    sector[at + 4] === 0
      ? []
      : [{ startBytes: sector.readUInt32LE(at + 8) * SECTOR_BYTES, sizeBytes: sector.readUInt32LE(at + 12) * SECTOR_BYTES }],
  );
}
