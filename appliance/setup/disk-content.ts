// What a disk seems to hold, from how it begins. Pure. It only has to be named: whatever it is, it is not overwritten without a word.
const SECTOR_BYTES = 512;
const GPT_ENTRY_BYTES = 128;

/** @param start The first MiB. A sentence; '': all of it is zero. */
export function contentOf(start: Buffer): string {
  if (start.every((byte) => byte === 0)) return '';
  const text = (at: number, bytes: number): string => start.toString('latin1', at, at + bytes);
  if (text(SECTOR_BYTES, 8) === 'EFI PART') {
    const names = partitionNames(start);
    if (names.some((n) => n.startsWith('twinstep-'))) return 'It holds a Twinstep system: the disk of another server?';
    return `It holds partitions${names.length > 0 ? ` (${names.slice(0, 3).join(', ')})` : ''}.`;
  }
  if (start.length > 0x43a && start.readUInt16LE(0x438) === 0xef53) return 'It holds a file system (ext4).';
  if (text(0, 4) === 'XFSB') return 'It holds a file system (XFS).';
  if (text(SECTOR_BYTES, 8) === 'LABELONE') return 'It holds a part of a volume group (LVM).';
  if (text(0, 4) === 'LUKS') return 'It holds encrypted data (LUKS).';
  if (start.length > 4100 && start.readUInt32LE(4096) === 0xa92b4efc) return 'It holds a part of a RAID (md).';
  if (start.length >= SECTOR_BYTES && start.readUInt16LE(510) === 0xaa55) return 'It holds partitions, or a system that boots.';
  return 'It is not empty.';
}

/** UEFI 2.10, clause 5.3.3: entries from sector 2 on, the name at 56. */
function partitionNames(start: Buffer): string[] {
  const names: string[] = [];
  for (let at = 2 * SECTOR_BYTES; at + GPT_ENTRY_BYTES <= Math.min(start.length, 34 * SECTOR_BYTES); at += GPT_ENTRY_BYTES) {
    const name = start.toString('utf16le', at + 56, at + GPT_ENTRY_BYTES).split('\0', 1)[0] ?? '';
    if (name !== '') names.push(name.replace(/[^\x20-\x7e]/g, '?'));
  }
  return names;
}
