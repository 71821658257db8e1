// A page of checksums, as bytes (table in README.md): one extent's. Pure.
import { crc32 } from 'node:zlib';

const MAGIC = 'TSCS';
const HEADER_BYTES = 24;
/** Pages share no sector: one that is torn takes no other with it. */
const SECTOR_BYTES = 512;
/** A page that begins like this does not count. */
export const BLANK_PAGE_START = Buffer.alloc(HEADER_BYTES);

export interface SumsPage {
  crcs: Uint32Array;
  /** Of each block one of the three below. */
  known: Uint8Array;
}

export const UNKNOWN = 0;
/** The block's crc counts. */
export const KNOWN = 1;
/** The block is not what it should be, and what its crc would be is not known. */
export const LOST = 2;
/** In the place of the crc of a block whose bit is not set; else there is 0. */
const LOST_MARK = 1;

export function sumsPageBytes(blocks: number): number {
  return Math.ceil((HEADER_BYTES + Math.ceil(blocks / 8) + blocks * 4) / SECTOR_BYTES) * SECTOR_BYTES;
}

export function encodeSumsPage(page: SumsPage, extent: number, life: bigint): Buffer {
  const blocks = page.crcs.length;
  const b = Buffer.alloc(sumsPageBytes(blocks));
  b.write(MAGIC, 0, 'latin1');
  b.writeUInt32BE(extent, 8);
  b.writeBigUInt64BE(life, 16);
  const sumsAt = HEADER_BYTES + Math.ceil(blocks / 8);
  for (let i = 0; i < blocks; i++) {
    if (page.known[i] === LOST) b.writeUInt32BE(LOST_MARK, sumsAt + i * 4);
    if (page.known[i] !== KNOWN) continue;
    const at = HEADER_BYTES + (i >> 3);
    b.writeUInt8(b.readUInt8(at) | (1 << (i & 7)), at);
    b.writeUInt32BE(page.crcs[i] ?? 0, sumsAt + i * 4);
  }
  b.writeUInt32BE(crc32(b), 4);
  return b;
}

/** False: blank, torn, damaged, another's: nothing is known, and `page` is as it was. Never throws. */
export function decodeSumsPage(b: Buffer, extent: number, life: bigint, page: SumsPage): boolean {
  const blocks = page.crcs.length;
  if (b.length !== sumsPageBytes(blocks) || b.toString('latin1', 0, 4) !== MAGIC) return false;
  if (b.readUInt32BE(8) !== extent || b.readBigUInt64BE(16) !== life) return false;
  const found = b.readUInt32BE(4);
  b.writeUInt32BE(0, 4);
  if (found !== crc32(b)) return false;
  const sumsAt = HEADER_BYTES + Math.ceil(blocks / 8);
  for (let i = 0; i < blocks; i++) {
    const crc = b.readUInt32BE(sumsAt + i * 4);
    if ((b.readUInt8(HEADER_BYTES + (i >> 3)) & (1 << (i & 7))) !== 0) {
      page.known[i] = KNOWN;
      page.crcs[i] = crc;
    } else if (crc === LOST_MARK) page.known[i] = LOST;
  }
  return true;
}
