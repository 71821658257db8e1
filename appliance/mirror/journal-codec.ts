// The journal of checkpoint intervals as bytes (tables in README.md). Pure. All integers big endian.
//
// A segment is a header block and records behind it. A record counts only if its checksums are right, it belongs to
// this life of the journal (a random number: old records lie behind the new ones, as segments are written over) and
// its sequence number is the next one: so that a hole made by a loss of power ends the journal instead of being skipped.
import { crc32 } from 'node:zlib';

const SEGMENT_MAGIC = 0x5453_4a53; // 'TSJS'
export const RECORD_MAGIC = 0x5453_4a52; // 'TSJR'
const JOURNAL_VERSION = 1;
/** Bit of a record's byte 5. A reader that does not know it writes the same zeroes. */
const RELEASE = 1;
/** Records begin here. */
export const SEGMENT_HEADER_BYTES = 4096;
export const RECORD_HEADER_BYTES = 48;
/** Data of one record. Larger writes become several records. */
export const RECORD_MAX_BYTES = 1024 * 1024;

/**
 *  write, zero                what the primary's guest wrote in `interval`
 *  commit                     everything up to `interval` is committed
 *  overlayWrite, overlayZero  what the secondary's guest had written privately when it took over
 *  takeOver                   the overlay before it is complete and counts, on top of everything up to `interval`
 */
export type RecordKind = 'write' | 'zero' | 'commit' | 'overlayWrite' | 'overlayZero' | 'takeOver';
const KINDS: readonly (RecordKind | undefined)[] = [undefined, 'write', 'zero', 'commit', 'overlayWrite', 'overlayZero', 'takeOver'];

export interface SegmentHeader {
  /** Blank: nothing behind it counts. */
  blank: boolean;
  /** The life of the journal. */
  life: bigint;
  firstSequence: number;
  /** The last interval committed before the first record. */
  committed: number;
  /** Of the disk: a journal of another disk must not be replayed. */
  diskBytes: number;
}

export interface JournalRecord {
  kind: RecordKind;
  sequence: number;
  interval: number;
  offset: number;
  /** Zeroes: the space is given back when they are written back. */
  release: boolean;
  /** Bytes of the disk. A write's data of this length follows the header. */
  length: number;
  dataCrc: number;
}

export function hasData(kind: RecordKind): boolean {
  return kind === 'write' || kind === 'overlayWrite';
}

export function encodeSegmentHeader(h: SegmentHeader): Buffer {
  const b = Buffer.alloc(SEGMENT_HEADER_BYTES);
  b.writeUInt32BE(SEGMENT_MAGIC, 0);
  b.writeUInt16BE(JOURNAL_VERSION, 4);
  b.writeUInt8(h.blank ? 0 : 1, 6);
  b.writeBigUInt64BE(h.life, 8);
  b.writeBigUInt64BE(BigInt(h.firstSequence), 16);
  b.writeUInt32BE(h.committed, 24);
  b.writeBigUInt64BE(BigInt(h.diskBytes), 28);
  b.writeUInt32BE(crc32(b.subarray(0, 36)), 36);
  return b;
}

/** Undefined: no header (a new file, or one torn by a loss of power: then nothing behind it was durable either). */
export function decodeSegmentHeader(b: Buffer): SegmentHeader | undefined {
  if (b.length < 40 || b.readUInt32BE(0) !== SEGMENT_MAGIC || b.readUInt32BE(36) !== crc32(b.subarray(0, 36))) return undefined;
  if (b.readUInt16BE(4) !== JOURNAL_VERSION) {
    throw new Error(`the journal has format ${b.readUInt16BE(4)}, this software knows ${JOURNAL_VERSION}: start the version that wrote it`);
  }
  return {
    blank: b.readUInt8(6) === 0,
    life: b.readBigUInt64BE(8),
    firstSequence: Number(b.readBigUInt64BE(16)),
    committed: b.readUInt32BE(24),
    diskBytes: Number(b.readBigUInt64BE(28)),
  };
}

export function encodeRecordHeader(r: JournalRecord, life: bigint): Buffer {
  const b = Buffer.alloc(RECORD_HEADER_BYTES);
  b.writeUInt32BE(RECORD_MAGIC, 0);
  b.writeUInt8(KINDS.indexOf(r.kind), 4);
  b.writeUInt8(r.release ? RELEASE : 0, 5);
  b.writeBigUInt64BE(life, 8);
  b.writeBigUInt64BE(BigInt(r.sequence), 16);
  b.writeUInt32BE(r.interval, 24);
  b.writeUInt32BE(r.length, 28);
  b.writeBigUInt64BE(BigInt(r.offset), 32);
  b.writeUInt32BE(r.dataCrc, 40);
  b.writeUInt32BE(crc32(b.subarray(0, 44)), 44);
  return b;
}

/** Undefined: no such record here; the journal ends before it. The data's checksum is the caller's to compare. */
export function decodeRecordHeader(b: Buffer, life: bigint, sequence: number): JournalRecord | undefined {
  if (b.length < RECORD_HEADER_BYTES || b.readUInt32BE(0) !== RECORD_MAGIC || b.readUInt32BE(44) !== crc32(b.subarray(0, 44)))
    return undefined;
  if (b.readBigUInt64BE(8) !== life || b.readBigUInt64BE(16) !== BigInt(sequence)) return undefined;
  const kind = KINDS[b.readUInt8(4)];
  if (!kind) return undefined;
  const length = b.readUInt32BE(28);
  if (hasData(kind) && length > RECORD_MAX_BYTES) return undefined;
  return {
    kind,
    release: (b.readUInt8(5) & RELEASE) !== 0,
    sequence,
    interval: b.readUInt32BE(24),
    offset: Number(b.readBigUInt64BE(32)),
    length,
    dataCrc: b.readUInt32BE(40),
  };
}
