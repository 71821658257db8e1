// The partition table: GPT (UEFI specification 2.10, chapter 5) on sectors of 512 bytes, with the protective MBR. Pure: partitions in, the
// sectors at both ends of the disk out. All integers are little-endian; a GUID's first three groups are, too.
import { crc32 } from 'node:zlib';

export const SECTOR_BYTES = 512;
const ENTRIES = 128;
const ENTRY_BYTES = 128;
const ENTRY_SECTORS = (ENTRIES * ENTRY_BYTES) / SECTOR_BYTES;
const HEADER_BYTES = 92;
/** Of a partition, in UTF-16 units. */
const NAME_UNITS = 36;
/** Sectors in front of the first partition and behind the last: MBR, header, entries. */
export const RESERVED_SECTORS = { front: 2 + ENTRY_SECTORS, back: 1 + ENTRY_SECTORS } as const;

export const PARTITION_TYPES = {
  efiSystem: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  /** Linux's generic data. */
  linux: '0fc63daf-8483-4772-8e79-3d69d8477de4',
  /** A root file system for x86-64. */
  root: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
} as const;

export interface Partition {
  type: string;
  id: string;
  name: string;
  firstSector: number;
  sectors: number;
}

/** `front` is written at sector 0, `back` ends the disk. Throws when a partition does not fit or overlaps another. */
export function encodeGpt(partitions: readonly Partition[], diskId: string, diskSectors: number): { front: Buffer; back: Buffer } {
  const usable = { first: RESERVED_SECTORS.front, last: diskSectors - RESERVED_SECTORS.back - 1 };
  let free = usable.first;
  const entries = Buffer.alloc(ENTRIES * ENTRY_BYTES);
  partitions.forEach((p, i) => {
    if (p.firstSector < free || p.firstSector + p.sectors - 1 > usable.last || p.name.length > NAME_UNITS)
      throw new Error(`partition ${p.name} (${p.sectors} sectors at ${p.firstSector}) does not fit: ${free} to ${usable.last} are free`);
    free = p.firstSector + p.sectors;
    const at = i * ENTRY_BYTES;
    encodeGuid(p.type).copy(entries, at);
    encodeGuid(p.id).copy(entries, at + 16);
    entries.writeBigUInt64LE(BigInt(p.firstSector), at + 32);
    entries.writeBigUInt64LE(BigInt(free - 1), at + 40);
    entries.write(p.name, at + 56, 'utf16le');
  });
  const header = (own: number, other: number, entriesAt: number): Buffer => {
    const h = Buffer.alloc(SECTOR_BYTES);
    h.write('EFI PART', 0, 'latin1');
    h.writeUInt32LE(0x00010000, 8);
    h.writeUInt32LE(HEADER_BYTES, 12);
    for (const [at, value] of [
      [24, own],
      [32, other],
      [40, usable.first],
      [48, usable.last],
      [72, entriesAt],
    ] as const)
      h.writeBigUInt64LE(BigInt(value), at);
    encodeGuid(diskId).copy(h, 56);
    h.writeUInt32LE(ENTRIES, 80);
    h.writeUInt32LE(ENTRY_BYTES, 84);
    h.writeUInt32LE(crc32(entries), 88);
    h.writeUInt32LE(crc32(h.subarray(0, HEADER_BYTES)), 16);
    return h;
  };
  const last = diskSectors - 1;
  return {
    front: Buffer.concat([protectiveMbr(diskSectors), header(1, last, 2), entries]),
    back: Buffer.concat([entries, header(last, 1, last - ENTRY_SECTORS)]),
  };
}

/** Reads the front of a disk. Throws, saying what is wrong, when header or entries are not what their checksums say. */
export function decodeGpt(front: Buffer): { diskId: string; partitions: Partition[] } {
  const h = Buffer.from(front.subarray(SECTOR_BYTES, SECTOR_BYTES + HEADER_BYTES));
  if (h.toString('latin1', 0, 8) !== 'EFI PART') throw new Error('no GPT: sector 1 does not begin with "EFI PART"');
  const headerCrc = h.readUInt32LE(16);
  h.writeUInt32LE(0, 16);
  if (crc32(h) !== headerCrc) throw new Error("damaged GPT: the header's checksum is wrong");
  const entries = front.subarray(2 * SECTOR_BYTES, 2 * SECTOR_BYTES + ENTRIES * ENTRY_BYTES);
  if (crc32(entries) !== h.readUInt32LE(88)) throw new Error("damaged GPT: the entries' checksum is wrong");
  const partitions: Partition[] = [];
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    const entry = entries.subarray(at, at + ENTRY_BYTES);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const firstSector = Number(entry.readBigUInt64LE(32));
    const name = entry.toString('utf16le', 56, 56 + 2 * NAME_UNITS).replace(/\0.*$/, '');
    const sectors = Number(entry.readBigUInt64LE(40)) - firstSector + 1;
    partitions.push({ type: decodeGuid(entry), id: decodeGuid(entry.subarray(16)), name, firstSector, sectors });
  }
  return { diskId: decodeGuid(h.subarray(56)), partitions };
}

/** One partition of type 0xee over all the disk, or what 32 bits can say of it. */
function protectiveMbr(diskSectors: number): Buffer {
  const mbr = Buffer.alloc(SECTOR_BYTES);
  mbr.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  mbr.writeUInt32LE(1, 454);
  mbr.writeUInt32LE(Math.min(diskSectors - 1, 0xffffffff), 458);
  mbr.writeUInt16LE(0xaa55, 510);
  return mbr;
}

export function encodeGuid(text: string): Buffer {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) throw new Error(`"${text}" is not a GUID`);
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  return Buffer.concat([bytes.subarray(0, 4).reverse(), bytes.subarray(4, 6).reverse(), bytes.subarray(6, 8).reverse(), bytes.subarray(8)]);
}

function decodeGuid(bytes: Buffer): string {
  const group = (from: number, to: number, swap: boolean) => {
    const part = Buffer.from(bytes.subarray(from, to));
    return (swap ? part.reverse() : part).toString('hex');
  };
  return [group(0, 4, true), group(4, 6, true), group(6, 8, true), group(8, 10, false), group(10, 16, false)].join('-');
}
