// The EFI system partition: a FAT32 file system with its files (Microsoft's "FAT: General Overview of On-Disk Format" 1.03), written in
// one go. Files lie one after the other, in the order given, each in one piece. Pure: files in, the pieces that are not zero out; the same
// files give the same bytes.
import { ATTRIBUTES, encodeNamed, encodeRecord, RECORD_BYTES, UNITS_PER_RECORD } from '../../appliance/update/fat-records.ts';

const SECTOR_BYTES = 512;
const RESERVED_SECTORS = 32;
const FATS = 2;
const END_OF_CHAIN = 0x0fffffff;
/** A file system with fewer is FAT16 to everybody who reads it, whatever it says of itself. */
const LEAST_UNITS = 65_525;

export interface FatFile {
  /** With slashes: `EFI/Linux/twinstep.efi`. ASCII. */
  path: string;
  data: Buffer;
}
export interface Piece {
  offset: number;
  data: Buffer;
}

interface Directory {
  directories: Map<string, Directory>;
  files: Map<string, Buffer>;
}

export interface FatOptions {
  volumeId: number;
  label: string;
  /** Of an allocation unit; 1 for a file system that is to be as small as FAT32 can be: 33 MiB. Default 4. */
  sectorsPerUnit?: number;
}

/** Throws when the files do not fit into `bytes`. */
export function fatFileSystem(files: readonly FatFile[], bytes: number, { volumeId, label, sectorsPerUnit = 4 }: FatOptions): Piece[] {
  const unitBytes = SECTOR_BYTES * sectorsPerUnit;
  const sectors = Math.floor(bytes / SECTOR_BYTES);
  // One allocation unit needs 4 bytes in each FAT: a little more than needed is no harm.
  const fatSectors = Math.ceil(((sectors / sectorsPerUnit + 2) * 4) / SECTOR_BYTES);
  const dataSector = RESERVED_SECTORS + FATS * fatSectors;
  const units = Math.floor((sectors - dataSector) / sectorsPerUnit);
  if (units < LEAST_UNITS) throw new Error(`${bytes} bytes are too few for FAT32`);
  const fat = Buffer.alloc(fatSectors * SECTOR_BYTES);
  fat.writeUInt32LE(0x0ffffff8, 0);
  fat.writeUInt32LE(END_OF_CHAIN, 4);
  const pieces: Piece[] = [];
  let next = 2;
  const place = (length: number): number => {
    const first = next;
    const count = Math.max(1, Math.ceil(length / unitBytes));
    if (first + count > units + 2) throw new Error(`the files do not fit into an EFI system partition of ${bytes} bytes`);
    for (let i = 1; i <= count; i++) fat.writeUInt32LE(i === count ? END_OF_CHAIN : first + i, (first + i - 1) * 4);
    next += count;
    return first;
  };
  const write = (unit: number, data: Buffer) => pieces.push({ offset: dataSector * SECTOR_BYTES + (unit - 2) * unitBytes, data });
  const writeDirectory = (directory: Directory, own: number | null, parent: number): number => {
    const names = [...directory.directories.keys(), ...directory.files.keys()];
    const dots = own === null ? 1 : 2;
    const length = (dots + names.reduce((sum, name) => sum + 1 + Math.ceil(name.length / UNITS_PER_RECORD), 0)) * RECORD_BYTES;
    const unit = place(length);
    const entries: Buffer[] =
      own === null
        ? [entry(label.padEnd(11), ATTRIBUTES.volume, 0, 0)]
        : [entry('.'.padEnd(11), ATTRIBUTES.directory, unit, 0), entry('..'.padEnd(11), ATTRIBUTES.directory, parent, 0)];
    let alias = 0;
    for (const [name, child] of directory.directories) {
      // The root directory is 0 to its children.
      const at = writeDirectory(child, unit, own === null ? 0 : unit);
      entries.push(namedEntries(name, alias++, ATTRIBUTES.directory, at, 0));
    }
    for (const [name, data] of directory.files) {
      const at = place(data.length);
      write(at, data);
      entries.push(namedEntries(name, alias++, ATTRIBUTES.archive, at, data.length));
    }
    write(unit, Buffer.concat(entries));
    return unit;
  };
  const root = writeDirectory(treeOf(files), null, 0);
  const boot = bootSector(sectors, { fatSectors, root, volumeId, label, sectorsPerUnit });
  const info = infoSector(units - (next - 2), next);
  for (const [at, data] of [
    [0, boot],
    [1, info],
    [6, boot],
    [7, info],
  ] as const)
    pieces.push({ offset: at * SECTOR_BYTES, data });
  for (let i = 0; i < FATS; i++) pieces.push({ offset: (RESERVED_SECTORS + i * fatSectors) * SECTOR_BYTES, data: fat });
  return pieces;
}

function treeOf(files: readonly FatFile[]): Directory {
  const root: Directory = { directories: new Map(), files: new Map() };
  for (const { path, data } of files) {
    const names = path.split('/');
    const file = names.pop() ?? '';
    let at = root;
    for (const name of names) {
      const child = at.directories.get(name) ?? { directories: new Map(), files: new Map() };
      at.directories.set(name, child);
      at = child;
    }
    at.files.set(file, data);
  }
  return root;
}

function entry(shortName: string, attributes: number, firstUnit: number, bytes: number): Buffer {
  return encodeRecord({ shortName, attributes, firstUnit, bytes });
}

/** The short name behind the long one is only there to be there, except where it says the same. */
function namedEntries(name: string, alias: number, attributes: number, firstUnit: number, bytes: number): Buffer {
  const plain = /^([A-Z0-9_]{1,8})(?:\.([A-Z0-9]{1,3}))?$/.exec(name);
  const [, base, extension] = plain ?? [];
  const tail = /\.([A-Za-z0-9]{1,3})[^.]*$/.exec(name)?.[1]?.toUpperCase() ?? '';
  const shortName = base ? base.padEnd(8) + (extension ?? '').padEnd(3) : `TWIN${'~'}${String(alias).padStart(3, '0')}${tail.padEnd(3)}`;
  return encodeNamed(name, { shortName, attributes, firstUnit, bytes });
}

function bootSector(sectors: number, is: Required<FatOptions> & { fatSectors: number; root: number }): Buffer {
  const { fatSectors, root, volumeId, label, sectorsPerUnit } = is;
  const b = Buffer.alloc(SECTOR_BYTES);
  b.set([0xeb, 0x58, 0x90]);
  b.write('TWINSTEP', 3, 'latin1');
  b.writeUInt16LE(SECTOR_BYTES, 11);
  b.writeUInt8(sectorsPerUnit, 13);
  b.writeUInt16LE(RESERVED_SECTORS, 14);
  b.writeUInt8(FATS, 16);
  b.writeUInt8(0xf8, 21);
  b.writeUInt16LE(63, 24);
  b.writeUInt16LE(255, 26);
  b.writeUInt32LE(sectors, 32);
  b.writeUInt32LE(fatSectors, 36);
  b.writeUInt32LE(root, 44);
  b.writeUInt16LE(1, 48);
  b.writeUInt16LE(6, 50);
  b.writeUInt8(0x80, 64);
  b.writeUInt8(0x29, 66);
  b.writeUInt32LE(volumeId, 67);
  b.write(label.padEnd(11), 71, 'latin1');
  b.write('FAT32   ', 82, 'latin1');
  b.writeUInt16LE(0xaa55, 510);
  return b;
}

function infoSector(free: number, next: number): Buffer {
  const b = Buffer.alloc(SECTOR_BYTES);
  for (const [at, value] of [
    [0, 0x41615252],
    [484, 0x61417272],
    [488, free],
    [492, next],
    [508, 0xaa550000],
  ] as const)
    b.writeUInt32LE(value, at);
  return b;
}
