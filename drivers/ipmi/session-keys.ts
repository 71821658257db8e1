// The arithmetic of a session: codes of RAKP, keys, and how packets are sealed with them (IPMI 2.0, 13.28, 13.29, 13.31, 13.32). Pure but
// for the random IV. Comparisons take the same time whatever differs.
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { CipherSuite } from './types.ts';
import { IpmiCodecError } from './types.ts';

/** Length of user and BMC keys (13.31): what is shorter is filled with zeros. */
export const KEY_BYTES = 20;
const BLOCK_BYTES = 16;
/** 13.32: constants of this length whatever the hash; so do all implementations. */
const CONSTANT_BYTES = 20;

interface SuiteHash {
  algorithm: 'sha1' | 'sha256';
  /** Of a whole HMAC: the codes in RAKP 2 and 3. */
  hashBytes: number;
  /** Of an integrity code: RAKP 4 and each packet. */
  codeBytes: number;
}

const SUITE_HASH: Record<CipherSuite, SuiteHash> = {
  3: { algorithm: 'sha1', hashBytes: 20, codeBytes: 12 },
  17: { algorithm: 'sha256', hashBytes: 32, codeBytes: 16 },
};

export function suiteHash(suite: CipherSuite): SuiteHash {
  return SUITE_HASH[suite];
}

export function hmac(suite: CipherSuite, key: Buffer, ...parts: readonly Buffer[]): Buffer {
  const h = createHmac(SUITE_HASH[suite].algorithm, key);
  for (const part of parts) h.update(part);
  return h.digest();
}

export function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export function padKey(text: Buffer): Buffer {
  const key = Buffer.alloc(KEY_BYTES);
  text.copy(key);
  return key;
}

/** What both sides know after RAKP 2. */
export interface Exchange {
  suite: CipherSuite;
  clientId: number;
  bmcId: number;
  clientRandom: Buffer;
  bmcRandom: Buffer;
  guid: Buffer;
  role: number;
  username: Buffer;
  /** padKey(password). */
  userKey: Buffer;
  /** padKey(K_G); the user's key where none is set. */
  bmcKey: Buffer;
}

function id(value: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(value);
  return b;
}

function name(x: Exchange): Buffer {
  return Buffer.concat([Buffer.from([x.role, x.username.length]), x.username]);
}

/** The BMC's code in RAKP 2 (13.31). */
export function rakp2Code(x: Exchange): Buffer {
  return hmac(x.suite, x.userKey, id(x.clientId), id(x.bmcId), x.clientRandom, x.bmcRandom, x.guid, name(x));
}

/** The client's in RAKP 3. */
export function rakp3Code(x: Exchange): Buffer {
  return hmac(x.suite, x.userKey, x.bmcRandom, id(x.clientId), name(x));
}

export interface SessionKeys {
  suite: CipherSuite;
  /** The BMC's code in RAKP 4. */
  rakp4Code: Buffer;
  /** K1. */
  integrity: Buffer;
  /** The first 16 bytes of K2. */
  confidentiality: Buffer;
}

export function sessionKeys(x: Exchange): SessionKeys {
  const sik = hmac(x.suite, x.bmcKey, x.clientRandom, x.bmcRandom, name(x));
  const code = hmac(x.suite, sik, x.clientRandom, id(x.bmcId), x.guid);
  return {
    suite: x.suite,
    rakp4Code: code.subarray(0, SUITE_HASH[x.suite].codeBytes),
    integrity: hmac(x.suite, sik, Buffer.alloc(CONSTANT_BYTES, 1)),
    confidentiality: hmac(x.suite, sik, Buffer.alloc(CONSTANT_BYTES, 2)).subarray(0, BLOCK_BYTES),
  };
}

export function integrityCode(keys: SessionKeys, signed: Buffer): Buffer {
  return hmac(keys.suite, keys.integrity, signed).subarray(0, SUITE_HASH[keys.suite].codeBytes);
}

/** IV, then the payload, pad bytes 1, 2, 3 ..., and their number (13.29.2). */
export function encryptPayload(keys: SessionKeys, payload: Buffer, iv: Buffer = randomBytes(BLOCK_BYTES)): Buffer {
  const pad = (BLOCK_BYTES - ((payload.length + 1) % BLOCK_BYTES)) % BLOCK_BYTES;
  const tail = Buffer.from([...Array.from({ length: pad }, (_, i) => i + 1), pad]);
  const cipher = createCipheriv('aes-128-cbc', keys.confidentiality, iv).setAutoPadding(false);
  return Buffer.concat([iv, cipher.update(payload), cipher.update(tail), cipher.final()]);
}

/** Only of a packet whose integrity code was right. */
export function decryptPayload(keys: SessionKeys, encrypted: Buffer): Buffer {
  if (encrypted.length < 2 * BLOCK_BYTES || encrypted.length % BLOCK_BYTES !== 0)
    throw new IpmiCodecError(`an encrypted payload of ${encrypted.length} bytes`);
  const cipher = createDecipheriv('aes-128-cbc', keys.confidentiality, encrypted.subarray(0, BLOCK_BYTES)).setAutoPadding(false);
  const clear = Buffer.concat([cipher.update(encrypted.subarray(BLOCK_BYTES)), cipher.final()]);
  const pad = clear[clear.length - 1] ?? 0;
  const end = clear.length - 1 - pad;
  if (pad >= BLOCK_BYTES || end < 0) throw new IpmiCodecError('a payload with broken padding');
  for (let i = 0; i < pad; i++) if (clear[end + i] !== i + 1) throw new IpmiCodecError('a payload with broken padding');
  return clear.subarray(0, end);
}
