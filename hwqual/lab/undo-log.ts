// The undo log of one file behind a volatile write cache: what each write that is not yet flushed replaced.
// Written by native/volatile-cache.c, read at a power failure by power-loss.ts. Little endian (it never leaves the machine).
//
//   header, 64 bytes:  u64 magic "\0TWUNDO1" | u64 device | u64 inode | u64 birth time, ns | u64 start | u64 end | 16 reserved
//   records in [start, end):  u32 "UREC" | u32 kind | u64 offset | u64 length | u64 size before | u64 n | n old bytes
//
// The old bytes are those of [offset, offset + n): shorter than `length` where the write went beyond the end of the file,
// and for a truncation what was cut off. The log of a file with nothing unflushed has start >= end.

export const UNDO_HEADER_BYTES = 64;
export const UNDO_RECORD_BYTES = 40;
const MAGIC = 0x314f444e55575400n;
const RECORD_MAGIC = 0x43455255;

export type UndoRecord =
  /** `length` bytes were written at `offset`. */
  | { kind: 'write'; offset: number; length: number; sizeBefore: number; old: Uint8Array }
  /** The file got the size `offset`. */
  | { kind: 'truncate'; offset: number; sizeBefore: number; old: Uint8Array }
  /** O_DSYNC: what earlier records say of [offset, offset + length) is on the medium, and the size with it. */
  | { kind: 'synced'; offset: number; length: number };

export interface UndoLog {
  device: bigint;
  inode: bigint;
  /** Oldest first. */
  records: UndoRecord[];
}

/** Reads a whole log. Throws an Error that names the offset when the log is not one. */
export function decodeUndoLog(bytes: Buffer): UndoLog {
  if (bytes.length < UNDO_HEADER_BYTES) throw new Error(`undo log: ${bytes.length} bytes, shorter than its header of ${UNDO_HEADER_BYTES}`);
  const magic = bytes.readBigUInt64LE(0);
  if (magic !== MAGIC) throw new Error(`undo log: magic ${magic.toString(16)}, expected ${MAGIC.toString(16)}`);
  const log: UndoLog = { device: bytes.readBigUInt64LE(8), inode: bytes.readBigUInt64LE(16), records: [] };
  const end = Number(bytes.readBigUInt64LE(40));
  let at = Number(bytes.readBigUInt64LE(32));
  while (at < end) {
    if (at + UNDO_RECORD_BYTES > bytes.length) throw new Error(`undo log: record at ${at} lies beyond the end, ${bytes.length}`);
    if (bytes.readUInt32LE(at) !== RECORD_MAGIC) throw new Error(`undo log: no record at ${at}`);
    const kind = bytes.readUInt32LE(at + 4);
    const [offset, length, sizeBefore, oldLength] = [8, 16, 24, 32].map((field) => Number(bytes.readBigUInt64LE(at + field))) as [
      number,
      number,
      number,
      number,
    ];
    const from = at + UNDO_RECORD_BYTES;
    if (from + oldLength > bytes.length) throw new Error(`undo log: old bytes of the record at ${at} lie beyond the end, ${bytes.length}`);
    const old = bytes.subarray(from, from + oldLength);
    if (kind === 1) log.records.push({ kind: 'write', offset, length, sizeBefore, old });
    else if (kind === 2) log.records.push({ kind: 'truncate', offset, sizeBefore, old });
    else if (kind === 3) log.records.push({ kind: 'synced', offset, length });
    else throw new Error(`undo log: unknown kind ${kind} at ${at}`);
    at = from + oldLength;
  }
  return log;
}

/** The bytes that native/volatile-cache.c would have written: for tests. */
export function encodeUndoLog(log: UndoLog): Buffer {
  const parts = log.records.map((r) => {
    const old = r.kind === 'synced' ? new Uint8Array(0) : r.old;
    const head = Buffer.alloc(UNDO_RECORD_BYTES);
    head.writeUInt32LE(RECORD_MAGIC, 0);
    head.writeUInt32LE({ write: 1, truncate: 2, synced: 3 }[r.kind], 4);
    head.writeBigUInt64LE(BigInt(r.offset), 8);
    head.writeBigUInt64LE(BigInt(r.kind === 'truncate' ? 0 : r.length), 16);
    head.writeBigUInt64LE(BigInt(r.kind === 'synced' ? 0 : r.sizeBefore), 24);
    head.writeBigUInt64LE(BigInt(old.length), 32);
    return Buffer.concat([head, old]);
  });
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(UNDO_HEADER_BYTES);
  header.writeBigUInt64LE(MAGIC, 0);
  header.writeBigUInt64LE(log.device, 8);
  header.writeBigUInt64LE(log.inode, 16);
  header.writeBigUInt64LE(BigInt(UNDO_HEADER_BYTES), 32);
  header.writeBigUInt64LE(BigInt(UNDO_HEADER_BYTES + body.length), 40);
  return Buffer.concat([header, body]);
}
