// The label of a file system, from its first bytes. Pure. FAT: Microsoft's specification 1.03, boot sector; ext4: its superblock at 1024.
const EXT_SUPERBLOCK = 1024;

export interface VolumeLabel {
  type: 'vfat' | 'ext4';
  label: string;
}

/** Null: neither of the two. @param start 4096 bytes. */
export function labelOf(start: Buffer): VolumeLabel | null {
  const text = (at: number, bytes: number): string =>
    start
      .toString('latin1', at, at + bytes)
      .split('\0', 1)[0]
      ?.trimEnd() ?? '';
  if (start.length >= EXT_SUPERBLOCK + 136 && start.readUInt16LE(EXT_SUPERBLOCK + 56) === 0xef53)
    return { type: 'ext4', label: text(EXT_SUPERBLOCK + 120, 16) };
  if (start.length < 512 || start.readUInt16LE(510) !== 0xaa55) return null;
  if (text(82, 5) === 'FAT32') return { type: 'vfat', label: text(71, 11) };
  return /^FAT1[26]/.test(text(54, 5)) ? { type: 'vfat', label: text(43, 11) } : null;
}
