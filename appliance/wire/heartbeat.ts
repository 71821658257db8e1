// The heartbeat frame: 112 bytes, the same on both paths (Ethernet type 0x88B5, IP protocol 253). README.md holds the byte table.
//
// Pure. Everything up to the last 16 bytes is covered by an HMAC under a key derived from the pair's key: another pair's
// frame, a forged or a changed one, one of another version or length are told apart, and none of them is looked into further.
// A copy of an old frame is genuine by its MAC: the receiver drops it by incarnation and sequence.
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { deriveKey } from './keys.ts';

export const HEARTBEAT_BYTES = 112;
const SIGNED_BYTES = 96;
const MAC_BYTES = 16;
/** 'TwHb' */
const MAGIC = 0x54774862;
export const HEARTBEAT_VERSION = 1;
const VERSION_AT = 4;
const PAIR_ID_BYTES = 16;
/** No process has it. */
export const NO_INCARNATION = '0000000000000000';

export interface HeartbeatFrame {
  sender: 'A' | 'B';
  link: number;
  path: 'ethernet' | 'ip';
  /** 16 hex digits, random at each start of the sender's process. */
  incarnation: string;
  /** Grows with every round of frames; the same on all links and paths. */
  sequence: number;
  /** The sender's own clock, us. */
  sentUs: number;
  generation: number;
  /** 0 isolated, 1 primary, 2 secondary, 3 stopped */
  role: number;
  revision: number;
  /** The last frame that the sender heard on this link and path; incarnation NO_INCARNATION: none. */
  echo: {
    incarnation: string;
    sequence: number;
    /** Its sentUs: the receiver's clock again. */
    sentUs: number;
    /** How long ago the sender heard it, us. */
    heldUs: number;
  };
}

export type HeartbeatReading =
  | { kind: 'frame'; frame: HeartbeatFrame }
  /** Of this protocol and version, but not of its length. */
  | { kind: 'truncated' | 'oversized'; reason: string }
  /** Another version of the protocol: whoever says so, its frames cannot be read here. */
  | { kind: 'version'; version: number }
  | { kind: 'otherPair' }
  /** Made without the pair's key, or changed on its way. */
  | { kind: 'forged' }
  /** No heartbeat at all; or made with the key, and wrong all the same. */
  | { kind: 'malformed'; reason: string };

export interface HeartbeatKey {
  /** 16 bytes. */
  pairId: Buffer;
  /** As an object: five times faster than bytes. */
  macKey: KeyObject;
}

/** Throws for a pair id or key of the wrong size. */
export function heartbeatKey(pairId: Uint8Array, pairKey: Uint8Array): HeartbeatKey {
  if (pairId.length !== PAIR_ID_BYTES) throw new RangeError(`the pair's id has ${pairId.length} bytes instead of ${PAIR_ID_BYTES}`);
  return { pairId: Buffer.from(pairId), macKey: createSecretKey(deriveKey(pairKey, 'heartbeat')) };
}

function mac(key: HeartbeatKey, signed: Buffer): Buffer {
  return createHmac('sha256', key.macKey).update(signed).digest().subarray(0, MAC_BYTES);
}

function writeNumber64(b: Buffer, value: number, offset: number): void {
  b.writeBigUInt64BE(BigInt(value), offset);
}

/** Throws RangeError for values that do not fit. */
export function encodeHeartbeat(frame: HeartbeatFrame, key: HeartbeatKey): Buffer {
  const b = Buffer.alloc(HEARTBEAT_BYTES);
  b.writeUInt32BE(MAGIC, 0);
  b.writeUInt8(HEARTBEAT_VERSION, 4);
  b.writeUInt8(frame.sender === 'A' ? 0 : 1, 5);
  b.writeUInt8(frame.link, 6);
  b.writeUInt8(frame.path === 'ethernet' ? 0 : 1, 7);
  key.pairId.copy(b, 8);
  b.write(frame.incarnation, 24, 8, 'hex');
  writeNumber64(b, frame.sequence, 32);
  writeNumber64(b, frame.sentUs, 40);
  writeNumber64(b, frame.generation, 48);
  b.writeUInt32BE(frame.revision, 56);
  b.writeUInt8(frame.role, 60);
  b.write(frame.echo.incarnation, 64, 8, 'hex');
  writeNumber64(b, frame.echo.sequence, 72);
  writeNumber64(b, frame.echo.sentUs, 80);
  b.writeUInt32BE(Math.min(frame.echo.heldUs, 0xffffffff), 88);
  mac(key, b.subarray(0, SIGNED_BYTES)).copy(b, SIGNED_BYTES);
  return b;
}

const ROLE_MAX = 3;

/** Never throws, whatever the bytes. */
export function decodeHeartbeat(b: Buffer, key: HeartbeatKey): HeartbeatReading {
  if (b.length < VERSION_AT) return { kind: 'truncated', reason: `${b.length} bytes instead of ${HEARTBEAT_BYTES}` };
  if (b.readUInt32BE(0) !== MAGIC) return malformed('not a heartbeat');
  // Before the length: another version may have another one.
  const version = b.length > VERSION_AT ? b.readUInt8(VERSION_AT) : HEARTBEAT_VERSION;
  if (version !== HEARTBEAT_VERSION) return { kind: 'version', version };
  if (b.length !== HEARTBEAT_BYTES)
    return { kind: b.length < HEARTBEAT_BYTES ? 'truncated' : 'oversized', reason: `${b.length} bytes instead of ${HEARTBEAT_BYTES}` };
  if (!b.subarray(8, 24).equals(key.pairId)) return { kind: 'otherPair' };
  if (!timingSafeEqual(b.subarray(SIGNED_BYTES), mac(key, b.subarray(0, SIGNED_BYTES)))) return { kind: 'forged' };
  // From here it was made by someone who has the key: what is wrong now is a fault, not an attack.
  const sender = b.readUInt8(5);
  const path = b.readUInt8(7);
  const role = b.readUInt8(60);
  if (sender > 1) return malformed(`sender ${sender}`);
  if (path > 1) return malformed(`path ${path}`);
  if (role > ROLE_MAX) return malformed(`role ${role}`);
  if (b.readUIntBE(61, 3) !== 0 || b.readUInt32BE(92) !== 0) return malformed('reserved bits are set');
  const sequence = Number(b.readBigUInt64BE(32));
  const sentUs = Number(b.readBigUInt64BE(40));
  const generation = Number(b.readBigUInt64BE(48));
  const echo = {
    incarnation: b.toString('hex', 64, 72),
    sequence: Number(b.readBigUInt64BE(72)),
    sentUs: Number(b.readBigUInt64BE(80)),
    heldUs: b.readUInt32BE(88),
  };
  const incarnation = b.toString('hex', 24, 32);
  if (incarnation === NO_INCARNATION) return malformed('no incarnation');
  for (const value of [sequence, sentUs, generation, echo.sequence, echo.sentUs]) {
    if (!Number.isSafeInteger(value)) return malformed('a number beyond 2^53');
  }
  return {
    kind: 'frame',
    frame: {
      sender: sender === 0 ? 'A' : 'B',
      link: b.readUInt8(6),
      path: path === 0 ? 'ethernet' : 'ip',
      incarnation,
      sequence,
      sentUs,
      generation,
      role,
      revision: b.readUInt32BE(56),
      echo,
    },
  };
}

function malformed(reason: string): HeartbeatReading {
  return { kind: 'malformed', reason };
}
