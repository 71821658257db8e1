// What is written to a disk, and in which order. Pure.
//
// erase: the old table's ends are zeroed first, and the new table is the last thing that is written: until then the disk does not boot, and
// an interrupted installation is one that has not happened.
// keep: slot and EFI system partition only; table, the other slot and the state are not touched.
import { type FatFile, fatFileSystem, type Piece } from '../disk/fat.ts';
import { encodeGpt, RESERVED_SECTORS, SECTOR_BYTES } from '../disk/gpt.ts';
import { diskLayout, ESP_FAT } from '../disk/layout.ts';
import { MIB } from './medium-layout.ts';

export interface InstallPlan {
  /** In this order, each whole. */
  pieces: Piece[];
  /** Where the slot's content is among them. */
  slotOffset: number;
  bytes: number;
}

const BACK_BYTES = RESERVED_SECTORS.back * SECTOR_BYTES;

/** `slot`: whole sectors. `diskBytes`: of the whole disk. Throws when something does not fit. */
export function installPlan(options: { diskBytes: number; keep: boolean; slot: Buffer; files: readonly FatFile[] }): InstallPlan {
  const { diskBytes, keep, slot, files } = options;
  const { diskId, esp, slots } = diskLayout();
  const diskSectors = Math.floor(diskBytes / SECTOR_BYTES);
  const slotOffset = slots.a.firstSector * SECTOR_BYTES;
  if (slot.length > slots.a.sectors * SECTOR_BYTES)
    throw new Error(`the medium's slot has ${slot.length} bytes; a slot of the disk is smaller`);
  const espOffset = esp.firstSector * SECTOR_BYTES;
  const content = [
    { offset: slotOffset, data: slot },
    ...withoutGaps(fatFileSystem(files, esp.sectors * SECTOR_BYTES, ESP_FAT)).map(({ offset, data }) => ({
      offset: espOffset + offset,
      data,
    })),
  ];
  const gpt = encodeGpt([esp, slots.a, slots.b], diskId, diskSectors);
  const backAt = diskSectors * SECTOR_BYTES - BACK_BYTES;
  const pieces = keep
    ? content
    : [
        { offset: 0, data: Buffer.alloc(MIB) },
        { offset: backAt, data: Buffer.alloc(BACK_BYTES) },
        ...content,
        { offset: backAt, data: gpt.back },
        { offset: 0, data: gpt.front },
      ];
  return { pieces, slotOffset, bytes: pieces.reduce((sum, { data }) => sum + data.length, 0) };
}

/** A new image is zero wherever nothing is written; a disk has its past there, which a directory's end would be mistaken for. */
function withoutGaps(pieces: readonly Piece[]): Piece[] {
  const sorted = pieces.toSorted((a, b) => a.offset - b.offset);
  return sorted.flatMap((piece, i) => {
    const end = piece.offset + piece.data.length;
    // Behind the last one: to the end of whatever unit it lies in.
    const next = sorted[i + 1]?.offset ?? Math.ceil(end / 4096) * 4096;
    return next > end ? [piece, { offset: end, data: Buffer.alloc(next - end) }] : [piece];
  });
}

/** What of `pieces` must be on the disk at the end: not what a later one replaces. */
export function lasting(pieces: readonly Piece[]): Piece[] {
  return pieces.filter(
    (piece, i) =>
      !pieces.some(
        (later, j) => j > i && later.offset < piece.offset + piece.data.length && piece.offset < later.offset + later.data.length,
      ),
  );
}
