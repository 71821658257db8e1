// Writes a disk as a sparse file: partition table, EFI system partition with boot loader and programs, slots.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type FatFile, fatFileSystem } from './fat.ts';
import { encodeGpt, SECTOR_BYTES } from './gpt.ts';
import { diskLayout, ESP_FAT, type SlotName } from './layout.ts';

export interface DiskContent {
  /** Of the EFI system partition. */
  files: readonly FatFile[];
  slots: Partial<Record<SlotName, Buffer>>;
}

/** Replaces `path`. Throws when something does not fit. */
export function writeDisk(path: string, content: DiskContent): { bytes: number } {
  const { diskSectors, diskId, esp, slots } = diskLayout();
  const bytes = diskSectors * SECTOR_BYTES;
  const gpt = encodeGpt([esp, slots.a, slots.b], diskId, diskSectors);
  const fd = openSync(path, 'w');
  const write = (data: Buffer, offset: number) => {
    for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, offset + done);
  };
  try {
    ftruncateSync(fd, bytes);
    write(gpt.front, 0);
    const espBytes = esp.sectors * SECTOR_BYTES;
    for (const piece of fatFileSystem(content.files, espBytes, ESP_FAT)) write(piece.data, esp.firstSector * SECTOR_BYTES + piece.offset);
    for (const name of ['a', 'b'] as const) {
      const data = content.slots[name];
      if (data === undefined) continue;
      if (data.length > slots[name].sectors * SECTOR_BYTES)
        throw new Error(`the root has ${data.length} bytes; a slot holds ${slots[name].sectors * SECTOR_BYTES}`);
      write(data, slots[name].firstSector * SECTOR_BYTES);
    }
    write(gpt.back, bytes - gpt.back.length);
  } finally {
    closeSync(fd);
  }
  return { bytes };
}
