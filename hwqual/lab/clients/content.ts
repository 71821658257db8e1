// The deterministic content that the lab guest serves (../guest/README.md): every position can be checked on its own.
//
// Content is a sequence of little-endian 32-bit words; word k is murmur3's 32-bit finaliser of (k xor 0x9e3779b9). Neighbours
// differ, and no piece repeats within 16 GiB: a lost, doubled, shifted or stale piece is noticed at its first byte or soon after.

export function contentWord(index: number): number {
  let k = (index ^ 0x9e3779b9) >>> 0;
  k = Math.imul(k ^ (k >>> 16), 0x85ebca6b);
  k = Math.imul(k ^ (k >>> 13), 0xc2b2ae35);
  return (k ^ (k >>> 16)) >>> 0;
}

/** `length` bytes of content starting at byte `offset`. */
export function contentBytes(offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  const lead = Math.min(length, (4 - (offset % 4)) % 4);
  let at = 0;
  for (; at < lead; at++) bytes[at] = contentByte(offset + at);
  let index = (offset + at) / 4;
  for (; at + 4 <= length; at += 4) bytes.writeUInt32LE(contentWord(index++), at);
  for (; at < length; at++) bytes[at] = contentByte(offset + at);
  return bytes;
}

function contentByte(offset: number): number {
  return (contentWord(Math.floor(offset / 4)) >>> (8 * (offset % 4))) & 0xff;
}

/** Checks content as it arrives, piece by piece. */
export class ContentChecker {
  #offset = 0;

  get offset(): number {
    return this.#offset;
  }

  /** Offset of the first wrong byte, or -1. After a wrong byte the checker must not be used again. */
  push(piece: Uint8Array): number {
    const expected = contentBytes(this.#offset, piece.length);
    if (expected.equals(piece)) {
      this.#offset += piece.length;
      return -1;
    }
    const wrong = piece.findIndex((byte, i) => byte !== expected[i]);
    return this.#offset + wrong;
  }
}
