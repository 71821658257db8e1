// Where on a disk a partition is, and which file system stands there: so that it can be mounted. Pure.
// GPT: UEFI specification 2.10, 5.3; MBR: the same, 5.2.1. Superblocks: ext4 (kernel, ext4/globals: magic at 0x438), XFS (magic at 0).

export const SECTOR_BYTES = 512;
/** What `partitionAt` looks at: the MBR, the GPT's header, 128 entries. */
export const TABLE_BYTES = 34 * SECTOR_BYTES;
/** What `fileSystemOf` looks at. */
export const SUPERBLOCK_BYTES = 70 * 1024;
const GPT_PROTECTIVE = 0xee;

export interface Partition {
  offset: number;
  length: number;
}

/** From 1 on, as Linux counts them. Null: there is no such partition; undefined: the disk has no table. */
export function partitionAt(table: Buffer, number: number): Partition | null | undefined {
  if (table.length < SECTOR_BYTES || table.readUInt16LE(510) !== 0xaa55) return undefined;
  if (table.readUInt8(446 + 4) === GPT_PROTECTIVE) return gptPartition(table, number);
  const at = 446 + (number - 1) * 16;
  if (number > 4) return null;
  const [start, sectors] = [table.readUInt32LE(at + 8), table.readUInt32LE(at + 12)];
  return table.readUInt8(at + 4) === 0 || sectors === 0 ? null : { offset: start * SECTOR_BYTES, length: sectors * SECTOR_BYTES };
}

function gptPartition(table: Buffer, number: number): Partition | null | undefined {
  if (table.toString('latin1', SECTOR_BYTES, SECTOR_BYTES + 8) !== 'EFI PART') return undefined;
  const entries = Number(table.readBigUInt64LE(SECTOR_BYTES + 72)) * SECTOR_BYTES;
  const count = table.readUInt32LE(SECTOR_BYTES + 80);
  const size = table.readUInt32LE(SECTOR_BYTES + 84);
  const at = entries + (number - 1) * size;
  if (number > count || size < 128 || at + 48 > table.length) return null;
  const [first, last] = [Number(table.readBigUInt64LE(at + 32)), Number(table.readBigUInt64LE(at + 40))];
  const isUsed = table.subarray(at, at + 16).some((b) => b !== 0);
  return !isUsed || last < first ? null : { offset: first * SECTOR_BYTES, length: (last - first + 1) * SECTOR_BYTES };
}

/** A guest's files are read here, never obeyed. */
const READ = 'ro,nodev,nosuid';

/**
 * The file system's name for `mount`, and the options to read it. Its log is replayed, as after a loss of power: what stands only there would be
 * missing. So the device must take writes, and should not be the original. Null: none that is known here.
 */
export function fileSystemOf(start: Buffer): { type: string; options: string } | null {
  const text = (at: number, length: number): string => start.toString('latin1', at, at + length);
  if (start.length >= 0x43a && start.readUInt16LE(0x438) === 0xef53) return { type: 'ext4', options: READ };
  // The original may be mounted as well.
  if (text(0, 4) === 'XFSB') return { type: 'xfs', options: `${READ},nouuid` };
  if (text(65_600, 8) === '_BHRfS_M') return { type: 'btrfs', options: READ };
  if (text(3, 8) === 'NTFS    ') return { type: 'ntfs3', options: READ };
  if (text(54, 5) === 'FAT16' || text(82, 5) === 'FAT32') return { type: 'vfat', options: READ };
  return null;
}
