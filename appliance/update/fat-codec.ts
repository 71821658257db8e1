// FAT32 as it lies on the disk (Microsoft's "FAT: General Overview of On-Disk Format" 1.03): boot sector, and the records of a directory. Pure.
import { UpdateRefusal } from './bundle.ts';
import { ATTRIBUTES, checksumOf, encodeNamed, RECORD_BYTES } from './fat-records.ts';

export const SECTOR_BYTES = 512;
/** Of a directory, in one sector. */
export const RECORDS_PER_SECTOR = SECTOR_BYTES / RECORD_BYTES;
export const DELETED = 0xe5;
/** Entries of the allocation table have 28 bits; from here on: the chain ends. */
export const CHAIN_END = 0x0ffffff8;
export const LAST_OF_CHAIN = 0x0fffffff;
export const ENTRY_MASK = 0x0fffffff;

export interface Geometry {
  unitBytes: number;
  /** Offsets of the allocation tables: the same content in each. */
  tables: number[];
  tableBytes: number;
  dataOffset: number;
  /** Allocation units, numbered from 2 on. */
  units: number;
  rootUnit: number;
  /** Offset of the sector with hints about free units; null: none. */
  infoOffset: number | null;
}

export function damaged(why: string): UpdateRefusal {
  return new UpdateRefusal(
    'disk',
    `The EFI system partition cannot be used: ${why}. Nothing was changed; write the image to this disk anew.`,
  );
}

/** Throws UpdateRefusal for what is not FAT32 with sectors of 512 bytes, as the image makes it. */
export function decodeGeometry(boot: Buffer, partitionBytes: number): Geometry {
  if (boot.length < SECTOR_BYTES || boot.readUInt16LE(510) !== 0xaa55) throw damaged('it has no FAT file system');
  const [sectorBytes, unitSectors, reserved, tables] = [
    boot.readUInt16LE(11),
    boot.readUInt8(13),
    boot.readUInt16LE(14),
    boot.readUInt8(16),
  ];
  const [sectors, tableSectors, rootUnit, info] = [
    boot.readUInt32LE(32),
    boot.readUInt32LE(36),
    boot.readUInt32LE(44),
    boot.readUInt16LE(48),
  ];
  if (sectorBytes !== SECTOR_BYTES) throw damaged(`its sectors have ${sectorBytes} bytes instead of ${SECTOR_BYTES}`);
  if (unitSectors === 0 || (unitSectors & (unitSectors - 1)) !== 0 || tables === 0 || reserved === 0 || boot.readUInt16LE(22) !== 0)
    throw damaged('its FAT file system is not FAT32');
  // Only one table counts: nobody makes such, and writing all would be wrong.
  if ((boot.readUInt16LE(40) & 0x80) !== 0) throw damaged('its allocation tables are not copies of each other');
  const dataSector = reserved + tables * tableSectors;
  const units = Math.floor((sectors - dataSector) / unitSectors);
  if (units < 1 || sectors * SECTOR_BYTES > partitionBytes || (units + 2) * 4 > tableSectors * SECTOR_BYTES)
    throw damaged('its sizes contradict each other');
  if (rootUnit < 2 || rootUnit >= units + 2) throw damaged('it has no root directory');
  return {
    unitBytes: unitSectors * SECTOR_BYTES,
    tables: Array.from({ length: tables }, (_, i) => (reserved + i * tableSectors) * SECTOR_BYTES),
    tableBytes: tableSectors * SECTOR_BYTES,
    dataOffset: dataSector * SECTOR_BYTES,
    units,
    rootUnit,
    infoOffset: info === 0 || info >= reserved ? null : info * SECTOR_BYTES,
  };
}

export interface DirectoryEntry {
  name: string;
  /** 11 characters. */
  shortName: string;
  isDirectory: boolean;
  firstUnit: number;
  bytes: number;
  /** Its records in the directory: `from` up to and without `to`. The last one is the short name's. */
  from: number;
  to: number;
}

interface LongName {
  text: string;
  checksum: number;
  /** Of the part that must come next; 0: all have come. */
  next: number;
  from: number;
}

/** What is in a directory. `end`: the record from which on nothing was ever written. A long name that does not fit to its short one is passed over. */
export function decodeDirectory(data: Buffer): { entries: DirectoryEntry[]; end: number } {
  const entries: DirectoryEntry[] = [];
  const records = data.length / RECORD_BYTES;
  let long: LongName | null = null;
  for (let i = 0; i < records; i++) {
    const r = data.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
    const first = r.readUInt8(0);
    if (first === 0) return { entries, end: i };
    const attributes = r.readUInt8(11);
    if (first === DELETED) long = null;
    else if ((attributes & 0x3f) === ATTRIBUTES.longName) {
      long = withPart(long, r, i);
    } else {
      const shortName = r.toString('latin1', 0, 11);
      const whole = long !== null && long.next === 0 && long.checksum === checksumOf(shortName) ? long : null;
      long = null;
      if ((attributes & ATTRIBUTES.volume) !== 0) continue;
      entries.push({
        name: whole ? whole.text.replace(/\0.*$/s, '') : plainName(shortName),
        shortName,
        isDirectory: (attributes & ATTRIBUTES.directory) !== 0,
        firstUnit: ((r.readUInt16LE(20) << 16) | r.readUInt16LE(26)) >>> 0,
        bytes: r.readUInt32LE(28),
        from: whole ? whole.from : i,
        to: i + 1,
      });
    }
  }
  return { entries, end: records };
}

/** The parts of a long name come in falling order, the last one marked. */
function withPart(long: LongName | null, record: Buffer, at: number): LongName | null {
  const [first, checksum] = [record.readUInt8(0), record.readUInt8(13)];
  const part = first & 0x3f;
  if ((first & 0x40) !== 0) return { text: unitsOf(record), checksum, next: part - 1, from: at };
  if (long === null || part !== long.next || checksum !== long.checksum) return null;
  return { ...long, text: unitsOf(record) + long.text, next: part - 1 };
}

function unitsOf(record: Buffer): string {
  return record.toString('utf16le', 1, 11) + record.toString('utf16le', 14, 26) + record.toString('utf16le', 28, 32);
}

function plainName(shortName: string): string {
  const [base, extension] = [shortName.slice(0, 8).trimEnd(), shortName.slice(8).trimEnd()];
  return extension === '' ? base : `${base}.${extension}`;
}

export function encodeFile(name: string, shortName: string, firstUnit: number, bytes: number): Buffer {
  return encodeNamed(name, { shortName, attributes: ATTRIBUTES.archive, firstUnit, bytes });
}

/** One that nobody has. */
export function freeShortName(taken: readonly DirectoryEntry[]): string {
  const names = new Set(taken.map((e) => e.shortName));
  for (let i = 0; ; i++) {
    const name = `TWIN~${String(i).padStart(3, '0')}EFI`;
    if (!names.has(name)) return name;
  }
}

/**
 * Room for `count` records in one sector, so that they come into being by one write; null: there is none. Behind `end` everything up to
 * that room must be marked as deleted, or readers stop before it.
 */
export function roomFor(count: number, data: Buffer, end: number): number | null {
  const records = data.length / RECORD_BYTES;
  for (let sector = 0; sector < records; sector += RECORDS_PER_SECTOR) {
    let free = 0;
    for (let i = sector; i < Math.min(sector + RECORDS_PER_SECTOR, records); i++) {
      free = i >= end || data.readUInt8(i * RECORD_BYTES) === DELETED ? free + 1 : 0;
      if (free === count) return i + 1 - count;
    }
  }
  return null;
}
