// The record of one copy and the map of its suspect extents, as bytes (tables in README.md). Pure.
import { crc32 } from 'node:zlib';
import { type CopyRecord, HISTORY_LIMIT } from '../core/mirror.ts';

export const METADATA_PAGE_BYTES = 4096;
const SLOT_MAGIC = 'TSMETA01';
const PAGE_MAGIC = 'TSMP';
const SLOT_CHECKED_BYTES = METADATA_PAGE_BYTES - 4;
const PAGE_HEADER_BYTES = 24;
/** Extents of one page of the map. */
export const EXTENTS_PER_PAGE = (METADATA_PAGE_BYTES - PAGE_HEADER_BYTES) * 8;
/** Of the map: 2 TiB in extents of 4 MiB. A larger disk has larger extents. */
export const MAP_PAGES = 17;
const SMALLEST_EXTENT_BYTES = 4 * 1024 * 1024;
const NAME_BYTES = 8;
const RECORD_AT = 64;
const RECORD_HEADER_BYTES = 32;

export interface Slot {
  /** Counts writes: the higher one of two whole slots counts. */
  counter: bigint;
  /** Random, new with every new file: pages of another life do not count. */
  life: bigint;
  sizeBytes: number;
  /** SHA-256 of what tells this disk from another. */
  disk: Uint8Array;
  record: CopyRecord;
}

export function extentBytesOf(sizeBytes: number, smallestBytes = SMALLEST_EXTENT_BYTES): number {
  let bytes = smallestBytes;
  while (Math.ceil(sizeBytes / bytes) > MAP_PAGES * EXTENTS_PER_PAGE) bytes *= 2;
  return bytes;
}

export function encodeMetadataSlot(slot: Slot): Buffer {
  const b = Buffer.alloc(METADATA_PAGE_BYTES);
  b.write(SLOT_MAGIC, 0, 'latin1');
  b.writeBigUInt64BE(slot.counter, 8);
  b.writeBigUInt64BE(slot.life, 16);
  b.writeBigUInt64BE(BigInt(slot.sizeBytes), 24);
  b.set(slot.disk.subarray(0, 32), 32);
  const { record } = slot;
  writeRecord(b, RECORD_AT, record);
  b.writeUInt32BE(crc32(b.subarray(0, SLOT_CHECKED_BYTES)), SLOT_CHECKED_BYTES);
  return b;
}

/** Null: empty, torn, or of another format. Never throws. */
export function decodeMetadataSlot(b: Buffer): Slot | null {
  if (b.length !== METADATA_PAGE_BYTES || b.toString('latin1', 0, 8) !== SLOT_MAGIC) return null;
  if (b.readUInt32BE(SLOT_CHECKED_BYTES) !== crc32(b.subarray(0, SLOT_CHECKED_BYTES))) return null;
  const sizeBytes = Number(b.readBigUInt64BE(24));
  const record = readRecord(b, RECORD_AT);
  if (!record || !Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) return null;
  return { counter: b.readBigUInt64BE(8), life: b.readBigUInt64BE(16), sizeBytes, disk: Uint8Array.from(b.subarray(32, 64)), record };
}

/** Bytes of a record, whatever its history. */
export const RECORD_BYTES = RECORD_HEADER_BYTES + HISTORY_LIMIT * NAME_BYTES;

function writeRecord(b: Buffer, at: number, r: CopyRecord): void {
  if (r.history.length > HISTORY_LIMIT) throw new Error(`a history of ${r.history.length} generations; ${HISTORY_LIMIT} are kept`);
  b.write(r.pair, at, 'hex');
  b.write(r.current, at + 8, 'hex');
  if (r.base !== null) b.write(r.base, at + 16, 'hex');
  b.writeUInt8((r.base === null ? 0 : 1) | (r.inconsistent ? 2 : 0), at + 24);
  b.writeUInt8(r.history.length, at + 25);
  for (const [i, g] of r.history.entries()) b.write(g, at + RECORD_HEADER_BYTES + i * NAME_BYTES, 'hex');
}

function readRecord(b: Buffer, at: number): CopyRecord | null {
  const name = (p: number): string => b.toString('hex', p, p + NAME_BYTES);
  const flags = b.readUInt8(at + 24);
  const count = b.readUInt8(at + 25);
  if (flags > 3 || count > HISTORY_LIMIT) return null;
  const history = Array.from({ length: count }, (_, i) => name(at + RECORD_HEADER_BYTES + i * NAME_BYTES));
  const base = flags & 1 ? name(at + 16) : null;
  // A base that is no part of the history says nothing of what the map reaches back to.
  if (base !== null && !history.includes(base)) return null;
  return { pair: name(at), current: name(at + 8), base, history, inconsistent: (flags & 2) !== 0 };
}

/** One page of the map: a bit per extent, lowest first. Extents of other pages are left out. */
export function encodeMapPage(page: number, life: bigint, suspects: Iterable<number>): Buffer {
  const b = Buffer.alloc(METADATA_PAGE_BYTES);
  b.write(PAGE_MAGIC, 0, 'latin1');
  b.writeUInt32BE(page, 4);
  b.writeBigUInt64BE(life, 8);
  const first = page * EXTENTS_PER_PAGE;
  for (const e of suspects) {
    const i = e - first;
    if (i < 0 || i >= EXTENTS_PER_PAGE) continue;
    const at = PAGE_HEADER_BYTES + (i >> 3);
    b.writeUInt8(b.readUInt8(at) | (1 << (i & 7)), at);
  }
  b.writeUInt32BE(crc32(b), 16);
  return b;
}

/** The suspect extents of the page; null: torn, damaged, another's: all of its extents are suspect. Never throws. */
export function decodeMapPage(b: Buffer, page: number, life: bigint): number[] | null {
  if (b.length !== METADATA_PAGE_BYTES || b.toString('latin1', 0, 4) !== PAGE_MAGIC) return null;
  if (b.readUInt32BE(4) !== page || b.readBigUInt64BE(8) !== life) return null;
  const unchecked = Buffer.from(b);
  unchecked.writeUInt32BE(0, 16);
  if (b.readUInt32BE(16) !== crc32(unchecked)) return null;
  return bits(b.subarray(PAGE_HEADER_BYTES), page * EXTENTS_PER_PAGE);
}

function bits(bytes: Uint8Array, first: number): number[] {
  const extents: number[] = [];
  for (const [at, byte] of bytes.entries()) {
    if (byte === 0) continue;
    for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) extents.push(first + at * 8 + bit);
  }
  return extents;
}

/** What a copy tells its partner: the record, then one bit per extent of the disk. */
export function encodeCopy(record: CopyRecord, suspects: ReadonlySet<number>, extents: number): Buffer {
  const b = Buffer.alloc(RECORD_BYTES + Math.ceil(extents / 8));
  writeRecord(b, 0, record);
  for (const e of suspects) {
    const at = RECORD_BYTES + (e >> 3);
    b.writeUInt8(b.readUInt8(at) | (1 << (e & 7)), at);
  }
  return b;
}

/** Null: of another size, or damaged. */
export function decodeCopy(b: Buffer, extents: number): { record: CopyRecord; suspects: Set<number> } | null {
  if (b.length !== RECORD_BYTES + Math.ceil(extents / 8)) return null;
  const record = readRecord(b, 0);
  const suspects = new Set(bits(b.subarray(RECORD_BYTES), 0));
  if (!record || [...suspects].some((e) => e >= extents)) return null;
  return { record, suspects };
}
