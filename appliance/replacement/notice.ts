// What a CoServer says to the server that was replaced, should that one come back: that it was, and when. Pure.
//
// Made under the old key, which both had: so the old one can believe it, and nobody else can say it. Only a key derived from the old one is
// kept for it; that opens nothing. Frames of type 0x88B6 on the links, beside those of pairing and setup; README.md holds the byte table.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { deriveKey } from '../wire/keys.ts';

export const NOTICE_BYTES = 64;
/** 'TwRp' */
const MAGIC = 0x54775270;
const VERSION = 1;
const MAC_AT = 32;

export interface Notice {
  sender: 'A' | 'B';
  /** 32 hex digits. */
  pairId: string;
  /** ms since 1970, by the sender's clock: for people. */
  at: number;
}

/** @param pairKey The one that counted before. */
export const noticeKeyOf = (pairKey: Uint8Array): Buffer => deriveKey(pairKey, 'replaced');

const macOf = (b: Buffer, key: Uint8Array): Buffer => createHmac('sha256', key).update(b.subarray(0, MAC_AT)).digest();

/** Throws RangeError for values that do not fit. */
export function encodeNotice({ sender, pairId, at }: Notice, key: Uint8Array): Buffer {
  const b = Buffer.alloc(NOTICE_BYTES);
  b.writeUInt32BE(MAGIC, 0);
  b.writeUInt8(VERSION, 4);
  b.writeUInt8(sender === 'A' ? 1 : 2, 5);
  if (b.write(pairId, 8, 16, 'hex') !== 16) throw new RangeError("the pair's id is not 16 bytes of hex");
  b.writeBigUInt64BE(BigInt(at), 24);
  macOf(b, key).copy(b, MAC_AT);
  return b;
}

/** Null: it is none for this server, or not made under this key. Never throws: a NIC may have padded it. */
export function decodeNotice(bytes: Buffer, pairId: string, key: Uint8Array): Notice | null {
  const b = bytes.subarray(0, NOTICE_BYTES);
  if (b.length < NOTICE_BYTES || b.readUInt32BE(0) !== MAGIC || b.readUInt8(4) !== VERSION) return null;
  const side = b.readUInt8(5);
  if ((side !== 1 && side !== 2) || b.toString('hex', 8, 24) !== pairId) return null;
  if (!timingSafeEqual(b.subarray(MAC_AT, MAC_AT + 32), macOf(b, key))) return null;
  return { sender: side === 1 ? 'A' : 'B', pairId, at: Number(b.readBigUInt64BE(24)) };
}
