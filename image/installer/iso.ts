// The installation medium's outer form: a disk with a GPT that is a CD-ROM, too (ECMA-119, which is ISO 9660; "El Torito" bootable CD-ROM
// format 1.0; UEFI specification 2.10, 13.3.2). Written to a stick the firmware finds the EFI system partition by the GPT, as a CD-ROM by El
// Torito's catalog: both lead to the same bytes. A person who opens the CD-ROM sees the files. Pure: pieces out, as for FAT.
//
//   0        protective MBR, GPT           16 KiB of 32 that ISO 9660 leaves to others
//   32 KiB   descriptors, path tables, directory, catalog, small files
//   1 MiB    the large files, each at a whole MiB
//   end      the GPT's copy
import type { Piece } from '../disk/fat.ts';

export const SECTOR_BYTES = 2048;
const PLACES = { primary: 16, boot: 17, end: 18, littlePaths: 19, bigPaths: 20, root: 21, catalog: 22, firstFile: 23 } as const;
/** 2025-01-01, in both ways in which ISO 9660 writes a time: the same in all images. */
const RECORD_TIME = Buffer.from([125, 1, 1, 0, 0, 0, 0]);
const DESCRIPTOR_TIME = `${'2025010100000000'}\0`;
const EFI_PLATFORM = 0xef;

export interface IsoFile {
  /** Upper case, 8.3: `README.TXT`. */
  name: string;
  /** Null: of `sectors` and `bytes`, written by somebody else. */
  data: Buffer | null;
  /** Of 2048 bytes; ignored when there is data. */
  firstSector?: number;
  bytes?: number;
}

/** `bootSector`: where the EFI system partition begins, which is the last thing on the medium. Throws when a name or the size is wrong. */
export function isoPieces(files: readonly IsoFile[], medium: { label: string; sectors: number; bootSector: number }): Piece[] {
  const pieces: Piece[] = [];
  const put = (sector: number, data: Buffer) => pieces.push({ offset: sector * SECTOR_BYTES, data });
  let next: number = PLACES.firstFile;
  const own: IsoFile = { name: 'BOOT.CAT', data: bootCatalog(medium.bootSector) };
  const placed = [own, ...files]
    .map(({ name, data, firstSector = 0, bytes = 0 }) => {
      if (!/^[A-Z0-9_]{1,8}\.[A-Z0-9_]{1,3}$/.test(name)) throw new Error(`${name} is no name on a CD-ROM: capitals and digits, 8.3`);
      if (data === null) return { name, sector: firstSector, bytes };
      const sector = name === own.name ? PLACES.catalog : next;
      if (name !== own.name) next += Math.ceil(data.length / SECTOR_BYTES);
      put(sector, data);
      return { name, sector, bytes: data.length };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (next * SECTOR_BYTES > 1 << 20) throw new Error('the small files of the medium do not fit into its first MiB');
  const root = Buffer.concat([
    record('\0', PLACES.root, SECTOR_BYTES, true),
    record('\x01', PLACES.root, SECTOR_BYTES, true),
    ...placed.map(({ name, sector, bytes }) => record(`${name};1`, sector, bytes, false)),
  ]);
  if (root.length > SECTOR_BYTES) throw new Error('too many files for the medium');
  put(PLACES.primary, primaryDescriptor(medium.label, medium.sectors));
  put(PLACES.boot, bootDescriptor());
  put(PLACES.end, descriptor(255));
  put(PLACES.littlePaths, pathTable(false));
  put(PLACES.bigPaths, pathTable(true));
  put(PLACES.root, root);
  return pieces;
}

function descriptor(type: number): Buffer {
  const b = Buffer.alloc(SECTOR_BYTES);
  b.writeUInt8(type, 0);
  b.write('CD001\x01', 1, 'latin1');
  return b;
}

/** ISO 9660 writes numbers in both orders, one behind the other. */
function both32(b: Buffer, value: number, at: number): void {
  b.writeUInt32LE(value, at);
  b.writeUInt32BE(value, at + 4);
}

function both16(b: Buffer, value: number, at: number): void {
  b.writeUInt16LE(value, at);
  b.writeUInt16BE(value, at + 2);
}

function primaryDescriptor(label: string, sectors: number): Buffer {
  const b = descriptor(1);
  b.fill(' ', 8, 72);
  b.write(label, 40, 32, 'latin1');
  both32(b, sectors, 80);
  both16(b, 1, 120);
  both16(b, 1, 124);
  both16(b, SECTOR_BYTES, 128);
  both32(b, pathTable(false).length, 132);
  b.writeUInt32LE(PLACES.littlePaths, 140);
  b.writeUInt32BE(PLACES.bigPaths, 148);
  record('\0', PLACES.root, SECTOR_BYTES, true).copy(b, 156);
  b.fill(' ', 190, 813);
  for (const at of [813, 830, 864]) b.write(DESCRIPTOR_TIME, at, 'latin1');
  b.write(`${'0'.repeat(16)}\0`, 847, 'latin1');
  b.writeUInt8(1, 881);
  return b;
}

function bootDescriptor(): Buffer {
  const b = descriptor(0);
  b.write('EL TORITO SPECIFICATION', 7, 'latin1');
  b.writeUInt32LE(PLACES.catalog, 71);
  return b;
}

/** One entry, for EFI, without emulation. Its length does not fit into 16 bits; 1 means "to the end of the medium". */
function bootCatalog(sector: number): Buffer {
  const b = Buffer.alloc(SECTOR_BYTES);
  b.set([1, EFI_PLATFORM], 0);
  b.write('TWINSTEP', 4, 'latin1');
  b.set([0x55, 0xaa], 30);
  let sum = 0;
  for (let at = 0; at < 32; at += 2) sum += b.readUInt16LE(at);
  b.writeUInt16LE(-sum & 0xffff, 28);
  b.writeUInt8(0x88, 32);
  b.writeUInt16LE(1, 38);
  b.writeUInt32LE(sector, 40);
  return b;
}

/** Only the root. */
function pathTable(big: boolean): Buffer {
  const b = Buffer.alloc(10);
  b.writeUInt8(1, 0);
  if (big) b.writeUInt32BE(PLACES.root, 2);
  else b.writeUInt32LE(PLACES.root, 2);
  if (big) b.writeUInt16BE(1, 6);
  else b.writeUInt16LE(1, 6);
  return b;
}

function record(name: string, sector: number, bytes: number, directory: boolean): Buffer {
  const b = Buffer.alloc((33 + name.length + 1) & ~1);
  b.writeUInt8(b.length, 0);
  both32(b, sector, 2);
  both32(b, bytes, 10);
  RECORD_TIME.copy(b, 18);
  b.writeUInt8(directory ? 2 : 0, 25);
  both16(b, 1, 28);
  b.writeUInt8(name.length, 32);
  b.write(name, 33, 'latin1');
  return b;
}
