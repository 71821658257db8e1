// SMBIOS tables, as /sys/firmware/dmi/tables has them, decoded as far as qualification looks. Pure.
//
// Source: DMTF DSP0134 3.7: 5.2 (entry points), 6.1 (structures and strings), 7.1 BIOS, 7.2 system, 7.3 baseboard, 7.5 processor,
// 7.12 OEM strings, 7.17 memory array, 7.18 memory device. A structure may be shorter than the newest version's: what is beyond its length is not known.
import { byName, known, positive } from './text.ts';
import { type DimmInventory, InventoryError } from './types.ts';

export interface Smbios {
  /** "3.2"; null: no entry point was given. */
  version: string | null;
  system: { vendor: string | null; product: string | null; version: string | null; serial: string | null; uuid: string | null };
  board: { vendor: string | null; product: string | null; version: string | null; serial: string | null };
  bios: { vendor: string | null; version: string | null; date: string | null };
  /** Sockets with a CPU in them. */
  processors: { socket: string | null; model: string | null; cores: number | null; threads: number | null }[];
  memory: { ecc: boolean | null; slots: number | null; installedBytes: number | null; dimms: DimmInventory[] };
  /** Where the table cannot be read any further, in a sentence: real firmware is like that. What came before stands. */
  damage: string | null;
}

interface Structure {
  type: number;
  /** Header and formatted area. */
  bytes: Buffer;
  strings: string[];
}

const HEADER_BYTES = 4;
const END_OF_TABLE = 127;
/** A table of 2.1 may have 64 kB; the largest servers of today stay below that, too. */
const TABLE_MAX_BYTES = 1_048_576;
const STRUCTURES_MAX = 16_384;

/** `entryPoint` null: it could not be read; the table says nearly all. Throws InventoryError where nothing at all can be read. */
export function decodeSmbios(table: Uint8Array, entryPoint: Uint8Array | null): Smbios {
  const { structures, damage } = split(Buffer.from(table.buffer, table.byteOffset, table.byteLength));
  const first = (type: number): Structure => structures.find((s) => s.type === type) ?? { type, bytes: Buffer.alloc(0), strings: [] };
  const [bios, system, board] = [first(0), first(1), first(2)];
  return {
    version: entryPoint === null ? null : decodeEntryPoint(entryPoint),
    bios: { vendor: text(bios, 0x04), version: text(bios, 0x05), date: isoDate(text(bios, 0x08)) },
    system: {
      vendor: text(system, 0x04),
      product: text(system, 0x05),
      version: text(system, 0x06),
      serial: text(system, 0x07),
      uuid: uuid(system),
    },
    board: { vendor: text(board, 0x04), product: text(board, 0x05), version: text(board, 0x06), serial: text(board, 0x07) },
    processors: structures.filter((s) => s.type === 4 && isPopulated(s)).map(processor),
    // DIMMs may be missing: a sum of the others would be a wrong one.
    memory: { ...memory(structures), ...(damage === null ? {} : { ecc: null, slots: null, installedBytes: null }) },
    damage,
  };
}

/** OEM strings (7.12), in order: what a board's maker, or a virtual machine's host, wants to be found. Throws InventoryError as decodeSmbios does. */
export function oemStrings(table: Uint8Array): string[] {
  const { structures } = split(Buffer.from(table.buffer, table.byteOffset, table.byteLength));
  return structures.filter((s) => s.type === 11).flatMap((s) => s.strings);
}

/** "3.2". Throws InventoryError: no entry point, or its checksum is wrong. */
export function decodeEntryPoint(bytes: Uint8Array): string {
  const entry = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const is3 = entry.subarray(0, 5).equals(Buffer.from('_SM3_'));
  if (!is3 && !entry.subarray(0, 4).equals(Buffer.from('_SM_'))) throw new InventoryError('SMBIOS: no entry point (_SM_ or _SM3_)');
  const length = entry[is3 ? 6 : 5] ?? 0;
  if (length < (is3 ? 0x18 : 0x1e) || length > entry.length) throw new InventoryError(`SMBIOS: an entry point of ${length} bytes`);
  const sum = entry.subarray(0, length).reduce((total, value) => (total + value) & 0xff, 0);
  if (sum !== 0) throw new InventoryError('SMBIOS: the checksum of the entry point is wrong');
  return `${entry[is3 ? 7 : 6]}.${entry[is3 ? 8 : 7]}`;
}

function split(table: Buffer): { structures: Structure[]; damage: string | null } {
  if (table.length > TABLE_MAX_BYTES) throw new InventoryError(`SMBIOS: a table of ${table.length} bytes`);
  const structures: Structure[] = [];
  let damage: string | null = null;
  for (let at = 0; at + HEADER_BYTES <= table.length && structures.length < STRUCTURES_MAX; ) {
    const type = table[at] ?? 0;
    const length = table[at + 1] ?? 0;
    const end = length < HEADER_BYTES ? null : endOfStrings(table, at + length);
    if (end === null) {
      damage = `SMBIOS: the table is damaged at byte ${at} (structure of type ${type}, ${length} bytes): ask the maker for newer firmware`;
      break;
    }
    // Without strings there are two zeros all the same.
    const strings = table.toString('latin1', at + length, end - 2);
    structures.push({ type, bytes: table.subarray(at, at + length), strings: strings === '' ? [] : strings.split('\0') });
    if (type === END_OF_TABLE) break;
    at = end;
  }
  if (structures.length === 0) throw new InventoryError(damage ?? 'SMBIOS: the table is empty');
  return { structures, damage };
}

function endOfStrings(table: Buffer, from: number): number | null {
  const zeros = table.indexOf('\0\0', from, 'latin1');
  return zeros < 0 ? null : zeros + 2;
}

function byte(s: Structure, at: number): number | null {
  return s.bytes[at] ?? null;
}

function word(s: Structure, at: number): number | null {
  return at + 2 <= s.bytes.length ? s.bytes.readUInt16LE(at) : null;
}

function double(s: Structure, at: number): number | null {
  return at + 4 <= s.bytes.length ? s.bytes.readUInt32LE(at) : null;
}

/** Strings are numbered from 1; 0: there is none. */
function text(s: Structure, at: number): string | null {
  const number = byte(s, at) ?? 0;
  return number === 0 ? null : known(s.strings[number - 1]);
}

/** "11/08/2016" or, before 2.3, "11/08/99": month, day, year. */
function isoDate(date: string | null): string | null {
  const [, month, day, year] = /^(\d{2})\/(\d{2})\/(\d{2}|\d{4})$/.exec(date ?? '') ?? [];
  if (month === undefined || day === undefined || year === undefined) return null;
  if (Number(month) < 1 || Number(month) > 12 || Number(day) < 1 || Number(day) > 31) return null;
  return `${year.length === 2 ? `19${year}` : year}-${month}-${day}`;
}

/** The first three fields are little-endian. All zeros or all ones: not set. */
function uuid(s: Structure): string | null {
  const bytes = s.bytes.subarray(0x08, 0x18);
  if (bytes.length < 16 || bytes.every((b) => b === 0) || bytes.every((b) => b === 0xff)) return null;
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((i) => (bytes[i] ?? 0).toString(16).padStart(2, '0')).join('');
  return swapped.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// ---- processors (7.5) --------------------------------------------------------------------------------------------------------

const CENTRAL_PROCESSOR = 3;
const SOCKET_POPULATED = 1 << 6;
/** Of a count in a byte: look at the word further on. */
const IN_SECOND_FIELD = 0xff;

function isPopulated(s: Structure): boolean {
  return byte(s, 0x05) === CENTRAL_PROCESSOR && ((byte(s, 0x18) ?? SOCKET_POPULATED) & SOCKET_POPULATED) !== 0;
}

function processor(s: Structure): Smbios['processors'][number] {
  const counted = (at: number, second: number) =>
    positive(byte(s, at) === IN_SECOND_FIELD ? (word(s, second) ?? byte(s, at)) : byte(s, at));
  return { socket: text(s, 0x04), model: text(s, 0x10), cores: counted(0x23, 0x2a), threads: counted(0x25, 0x2e) };
}

// ---- memory (7.17, 7.18) -----------------------------------------------------------------------------------------------------

const SYSTEM_MEMORY = 3;
const ECC_NONE = 3;
const ECC_SINGLE_BIT = 5;
const ECC_MULTI_BIT = 6;
const UNKNOWN_WORD = 0xffff;
const SIZE_EXTENDED = 0x7fff;
const SIZE_IN_KIB = 0x8000;
const KIB = 1024;
const MIB = 1024 * KIB;
const MEMORY_TYPES = new Map([
  [0x12, 'DDR'],
  [0x13, 'DDR2'],
  [0x18, 'DDR3'],
  [0x1a, 'DDR4'],
  [0x1b, 'LPDDR'],
  [0x1c, 'LPDDR2'],
  [0x1d, 'LPDDR3'],
  [0x1e, 'LPDDR4'],
  [0x1f, 'non-volatile'],
  [0x20, 'HBM'],
  [0x21, 'HBM2'],
  [0x22, 'DDR5'],
  [0x23, 'LPDDR5'],
  [0x24, 'HBM3'],
]);

function memory(structures: readonly Structure[]): Smbios['memory'] {
  const arrays = structures.filter((s) => s.type === 16 && byte(s, 0x05) === SYSTEM_MEMORY);
  const handles = new Set(arrays.map((s) => word(s, 0x02)));
  // Firmware without arrays still has devices; flash and caches belong to arrays of another use.
  const devices = structures.filter((s) => s.type === 17 && (arrays.length === 0 || handles.has(word(s, 0x04))));
  const dimms = devices.filter((s) => word(s, 0x0c) !== 0).map(dimm);
  const sizes = dimms.map(({ sizeBytes }) => sizeBytes).filter((size) => size !== null);
  const codes = arrays.map((s) => byte(s, 0x06));
  const corrects = codes.length > 0 && codes.every((code) => code === ECC_SINGLE_BIT || code === ECC_MULTI_BIT);
  return {
    ecc: corrects ? true : codes.includes(ECC_NONE) ? false : null,
    slots: positive(devices.length),
    installedBytes: sizes.length < dimms.length ? null : positive(sizes.reduce((sum, size) => sum + size, 0)),
    dimms: dimms.sort((a, b) => byName(`${a.slot} ${a.bank}`, `${b.slot} ${b.bank}`)),
  };
}

function dimm(s: Structure): DimmInventory {
  const [total, data] = [word(s, 0x08), word(s, 0x0a)];
  const widthsKnown = total !== null && data !== null && total !== UNKNOWN_WORD && data !== UNKNOWN_WORD && data > 0 && total >= data;
  return {
    slot: text(s, 0x10),
    bank: text(s, 0x11),
    sizeBytes: size(s),
    type: MEMORY_TYPES.get(byte(s, 0x12) ?? 0) ?? null,
    speedMtPerS: rate(s, 0x15, 0x54),
    configuredMtPerS: rate(s, 0x20, 0x58),
    ecc: widthsKnown ? total > data : null,
    ranks: positive((byte(s, 0x1b) ?? 0) & 0x0f),
    vendor: text(s, 0x17),
    partNumber: text(s, 0x1a),
    serial: text(s, 0x18),
  };
}

function size(s: Structure): number | null {
  const value = word(s, 0x0c);
  if (value === null || value === UNKNOWN_WORD) return null;
  if (value === SIZE_EXTENDED) return positive(((double(s, 0x1c) ?? 0) & 0x7fffffff) * MIB);
  return positive((value & ~SIZE_IN_KIB) * ((value & SIZE_IN_KIB) !== 0 ? KIB : MIB));
}

function rate(s: Structure, at: number, extended: number): number | null {
  const value = word(s, at);
  return positive(value === UNKNOWN_WORD ? (double(s, extended) ?? 0) & 0x7fffffff : value);
}
