// What a part of the server is: maker, name, part and serial number (IPMI Platform Management FRU Information Storage 1.0). Pure.
//
//   header(8): version 1, offsets of areas in 8 bytes: internal, chassis, board, product, records; pad; checksum
//   area: version 1, length in 8 bytes, language or chassis type, [board: date(3)], fields, C1h, padding, checksum
//
// A field is a byte (type in the upper 2 bits, length in the lower 6) and its text. All bytes of header and area add up to 0.
import { needs } from './messages.ts';
import { decodeText, printable } from './text.ts';
import { IpmiCodecError } from './types.ts';

export const FRU_HEADER_BYTES = 8;
/** Version and length of an area. */
export const FRU_AREA_HEAD_BYTES = 2;
const UNIT_BYTES = 8;
const END_OF_FIELDS = 0xc1;
/** 11: minutes since the first of January 1996. */
const BOARD_DATE_START_S = 820_454_400;
/** Own fields of a maker in one area: an area has 2,040 bytes. */
const MAX_CUSTOM = 64;

export type FruAreaKind = 'chassis' | 'board' | 'product';

/** Where areas begin, in bytes; undefined: there is none. */
export type FruHeader = Record<FruAreaKind, number | undefined>;

export interface FruChassis {
  /** SMBIOS chassis type: 17h a rack mount chassis. */
  type: number;
  partNumber: string;
  serial: string;
  custom: string[];
}

export interface FruBoard {
  manufacturer: string;
  product: string;
  serial: string;
  partNumber: string;
  fileId: string;
  /** Unix seconds; undefined: not given. */
  madeOnS: number | undefined;
  custom: string[];
}

export interface FruProduct {
  manufacturer: string;
  name: string;
  partNumber: string;
  version: string;
  serial: string;
  assetTag: string;
  fileId: string;
  custom: string[];
}

/** 17.1. */
export interface FruInfo {
  bytes: number;
  /** Offsets and counts are in words of two bytes. */
  inWords: boolean;
}

export function decodeFruInfo(d: Buffer): FruInfo {
  needs(d, 3, 'a FRU info');
  return { bytes: d.readUInt16LE(0), inWords: (d.readUInt8(2) & 1) === 1 };
}

function checkSum(b: Buffer, what: string): void {
  let sum = 0;
  for (const byte of b) sum += byte;
  if ((sum & 0xff) !== 0) throw new IpmiCodecError(`${what} with a wrong checksum`);
}

/** 8. */
export function decodeFruHeader(b: Buffer): FruHeader {
  needs(b, FRU_HEADER_BYTES, "a FRU's header");
  const version = b.readUInt8(0) & 0x0f;
  if (version !== 1) throw new IpmiCodecError(`a FRU of version ${version}: not written, or of another format`);
  checkSum(b.subarray(0, FRU_HEADER_BYTES), "a FRU's header");
  const offset = (at: number): number | undefined => (b.readUInt8(at) === 0 ? undefined : b.readUInt8(at) * UNIT_BYTES);
  return { chassis: offset(2), board: offset(3), product: offset(4) };
}

/** Length of the area that begins with these bytes. */
export function fruAreaLength(head: Buffer): number {
  needs(head, FRU_AREA_HEAD_BYTES, "a FRU area's head");
  const version = head.readUInt8(0) & 0x0f;
  if (version !== 1) throw new IpmiCodecError(`a FRU area of version ${version}`);
  const length = head.readUInt8(1) * UNIT_BYTES;
  if (length === 0) throw new IpmiCodecError('a FRU area without length');
  return length;
}

/** The whole area; answers its fields from `fieldsAt` on. */
function areaFields(b: Buffer, fieldsAt: number, isUnicode: boolean): string[] {
  const length = fruAreaLength(b);
  if (b.length !== length) throw new IpmiCodecError(`a FRU area of ${b.length} bytes that says ${length}`);
  checkSum(b, 'a FRU area');
  const fields: string[] = [];
  for (let at = fieldsAt; at < length - 1; ) {
    const code = b.readUInt8(at);
    if (code === END_OF_FIELDS) return fields;
    const end = at + 1 + (code & 0x3f);
    // The last byte is the checksum.
    if (end > length - 1) throw new IpmiCodecError('a FRU field that ends outside of its area');
    fields.push(fieldText(code >> 6, b.subarray(at + 1, end), isUnicode));
    at = end;
  }
  // Some forget the mark of the end.
  return fields;
}

function fieldText(type: number, text: Buffer, isUnicode: boolean): string {
  if (type === 0) return text.toString('hex');
  if (type === 3 && isUnicode) return printable(text.toString('utf16le'));
  return decodeText(type, text);
}

/** 0 and 25 are English, in Latin 1; others Unicode. */
function isUnicode(language: number | undefined): boolean {
  return language !== 0 && language !== 25;
}

/** 10. */
export function decodeFruChassis(b: Buffer): FruChassis {
  const [partNumber = '', serial = '', ...custom] = areaFields(b, 3, false);
  return { type: b.readUInt8(2), partNumber, serial, custom: custom.slice(0, MAX_CUSTOM) };
}

/** 11. */
export function decodeFruBoard(b: Buffer): FruBoard {
  const [manufacturer = '', product = '', serial = '', partNumber = '', fileId = '', ...custom] = areaFields(b, 6, isUnicode(b[2]));
  const minutes = b.readUIntLE(3, 3);
  const madeOnS = minutes === 0 ? undefined : BOARD_DATE_START_S + minutes * 60;
  return { manufacturer, product, serial, partNumber, fileId, madeOnS, custom: custom.slice(0, MAX_CUSTOM) };
}

/** 12. */
export function decodeFruProduct(b: Buffer): FruProduct {
  const fields = areaFields(b, 3, isUnicode(b[2]));
  const [manufacturer = '', name = '', partNumber = '', version = '', serial = '', assetTag = '', fileId = '', ...custom] = fields;
  return { manufacturer, name, partNumber, version, serial, assetTag, fileId, custom: custom.slice(0, MAX_CUSTOM) };
}
