// The file of a restore point as bytes (tables in README.md). Pure. All integers big endian.
//
// A header page, then batches: an index page, the before-images it names, and the index page once more. With either page whole and
// an image that does not fit its checksum, the live disk tells a batch that was torn (nothing was overwritten yet) from a damaged one.
import { crc32 } from 'node:zlib';

/** What is kept at a time: the smallest piece whose bookkeeping stays small beside it. */
export const GRAIN_BYTES = 64 * 1024;
export const PAGE_BYTES = 4096;
/** Of one batch: memory, and how long the next write waits behind it. */
export const BATCH_GRAINS = 60;
const HEADER_MAGIC = 'TSPTSEG1';
const BATCH_MAGIC = 0x5453_5042; // 'TSPB'
const BATCH_HEADER_BYTES = 24;
const ENTRY_BYTES = 16;

/** unreadable: the disk did not give the old content when it was overwritten. */
export type ImageKind = 'data' | 'zero' | 'unreadable';
const KINDS: readonly ImageKind[] = ['data', 'zero', 'unreadable'];

export interface ImageEntry {
  grain: number;
  kind: ImageKind;
  crc: number;
  /** Below GRAIN_BYTES for the disk's last one only. */
  lengthBytes: number;
}

export interface Batch {
  /** 0, 1, 2... */
  sequence: number;
  entries: ImageEntry[];
}

export function encodeSegmentPage(id: string, sizeBytes: number): Buffer {
  const b = Buffer.alloc(PAGE_BYTES);
  b.write(HEADER_MAGIC, 0, 'latin1');
  b.write(id, 8, 'hex');
  b.writeBigUInt64BE(BigInt(sizeBytes), 16);
  b.writeUInt32BE(GRAIN_BYTES, 24);
  b.writeUInt32BE(crc32(b.subarray(0, PAGE_BYTES - 4)), PAGE_BYTES - 4);
  return b;
}

export function isSegmentPage(b: Buffer, id: string, sizeBytes: number): boolean {
  return b.equals(encodeSegmentPage(id, sizeBytes));
}

export function encodeBatchPage(id: string, batch: Batch): Buffer {
  const b = Buffer.alloc(PAGE_BYTES);
  b.writeUInt32BE(BATCH_MAGIC, 0);
  b.writeUInt32BE(batch.sequence, 4);
  b.write(id, 8, 'hex');
  b.writeUInt32BE(batch.entries.length, 16);
  for (const [i, e] of batch.entries.entries()) {
    const at = BATCH_HEADER_BYTES + i * ENTRY_BYTES;
    b.writeUInt32BE(e.grain, at);
    b.writeUInt32BE(e.crc, at + 4);
    b.writeUInt32BE(e.lengthBytes, at + 8);
    b.writeUInt32BE(KINDS.indexOf(e.kind), at + 12);
  }
  b.writeUInt32BE(crc32(b.subarray(0, PAGE_BYTES - 4)), PAGE_BYTES - 4);
  return b;
}

/** Null: no such page. The guest cannot forge one inside of its data: the id is random and never leaves the CoServers. */
export function decodeBatchPage(b: Buffer, id: string): Batch | null {
  if (b.length !== PAGE_BYTES || b.readUInt32BE(0) !== BATCH_MAGIC || b.toString('hex', 8, 16) !== id) return null;
  if (b.readUInt32BE(PAGE_BYTES - 4) !== crc32(b.subarray(0, PAGE_BYTES - 4))) return null;
  const count = b.readUInt32BE(16);
  if (count === 0 || count > BATCH_GRAINS) return null;
  const entries: ImageEntry[] = [];
  for (let i = 0; i < count; i++) {
    const at = BATCH_HEADER_BYTES + i * ENTRY_BYTES;
    const kind = KINDS[b.readUInt32BE(at + 12)];
    const lengthBytes = b.readUInt32BE(at + 8);
    if (!kind || lengthBytes === 0 || lengthBytes > GRAIN_BYTES) return null;
    entries.push({ grain: b.readUInt32BE(at), kind, crc: b.readUInt32BE(at + 4), lengthBytes });
  }
  return { sequence: b.readUInt32BE(4), entries };
}

/** Where each image is in the file, and where the batch's second page is: in front of the next batch. */
export function layOut(entries: readonly ImageEntry[], at: number): { images: number[]; secondPage: number } {
  let next = at + PAGE_BYTES;
  const images = entries.map((e) => {
    const here = next;
    if (e.kind === 'data') next += Math.ceil(e.lengthBytes / PAGE_BYTES) * PAGE_BYTES;
    return here;
  });
  return { images, secondPage: next };
}

/** Enough for every grain in a batch of its own. */
export function segmentBytes(diskBytes: number, maximumBytes: number): number {
  const all = PAGE_BYTES + Math.ceil(diskBytes / GRAIN_BYTES) * (GRAIN_BYTES + 2 * PAGE_BYTES);
  return Math.min(all, maximumBytes + PAGE_BYTES);
}
