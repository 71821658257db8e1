// Frames of the link flood: its bytes are in README.md. Pure.
//
// State frames (ten a second, to everybody on the cable) carry an HMAC with the pair's key over both sides' nonces: what is old, or from
// somebody else, is not believed. Data frames come at line rate, where an HMAC each would be the limit: they carry eight bytes that only the
// two know, derived from both nonces, and a checksum over all of the frame.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { ETHERNET_HEADER_BYTES, macToBytes } from '../../drivers/ethernet/index.ts';

/**
 * IEEE 802 local experimental 1 and 2. The heartbeat and pairing use them, too, and never at the same time. Two, so that each has a socket
 * of its own: state frames overtake the flood, and are heard where the flood overflows.
 */
export const ETHER_TYPE_STATE = 0x88b5;
export const ETHER_TYPE_DATA = 0x88b6;
export const NONCE_BYTES = 16;
export const SESSION_BYTES = 8;
const MAGIC = 0x54534249; // "TSBI"
const VERSION = 1;
const KIND_STATE = 1;
const KIND_DATA = 2;
const HEAD_BYTES = 8;
const MAC_BYTES = 16;
const STATE_BYTES = 116;
const DATA_HEAD_BYTES = 24;
const CRC_BYTES = 4;
export const LINKS_MAX = 255;
const SEQUENCE_MAX = 2 ** 48 - 1;

export type Phase = 'ready' | 'flooding' | 'finished';
const PHASES: readonly Phase[] = ['ready', 'flooding', 'finished'];

export interface Received {
  frames: number;
  bytes: number;
  lost: number;
  damaged: number;
  reordered: number;
  duplicated: number;
  /** The receiver's NIC or kernel had no room for them: it was too slow, the wire was not at fault. */
  dropped: number;
}

export interface StateFrame {
  sender: 'A' | 'B';
  /** Of the sender, from 0. */
  link: number;
  nonce: Buffer;
  /** The receiver's, as last heard; zeroes: none yet. */
  heardNonce: Buffer;
  phase: Phase;
  /** It floods nothing itself. */
  answersOnly: boolean;
  /** It has heard that the other one finished, and what it tells of it is final. */
  heardFinished: boolean;
  /** CLOCK_MONOTONIC_RAW of the sender. */
  sentUs: number;
  /** The receiver's sentUs that the sender heard last, and how long ago; 0: none. */
  echoUs: number;
  heldUs: number;
  /** Data frames that left. */
  sentFrames: number;
  /** Of those, not taken by its NIC, or dropped there. */
  sendDropped: number;
  received: Received;
}

export interface DataFrame {
  sender: 'A' | 'B';
  link: number;
  session: Buffer;
  sequence: number;
}

export type FloodFrame =
  | { kind: 'state'; state: StateFrame }
  | { kind: 'data'; data: DataFrame }
  /** Ours by its first bytes, and wrong in others. */
  | { kind: 'damaged' }
  | { kind: 'foreign' };

export function sessionToken(key: Uint8Array, sender: Uint8Array, receiver: Uint8Array): Buffer {
  return createHmac('sha256', key).update('data').update(sender).update(receiver).digest().subarray(0, SESSION_BYTES);
}

/** The whole Ethernet frame. */
export function encodeState(state: StateFrame, key: Uint8Array, mac: { destination: string; source: string }): Buffer {
  const frame = Buffer.alloc(ETHERNET_HEADER_BYTES + STATE_BYTES + MAC_BYTES);
  head(frame, mac, KIND_STATE, state);
  frame.writeUInt16BE(ETHER_TYPE_STATE, 12);
  const b = frame.subarray(ETHERNET_HEADER_BYTES);
  state.nonce.copy(b, 8, 0, NONCE_BYTES);
  state.heardNonce.copy(b, 24, 0, NONCE_BYTES);
  b[40] = PHASES.indexOf(state.phase);
  b[41] = (state.answersOnly ? 1 : 0) | (state.heardFinished ? 2 : 0);
  const { received: r } = state;
  const numbers = [state.sentUs, state.echoUs, state.heldUs, state.sentFrames, state.sendDropped];
  const counts = [r.frames, r.bytes, r.lost, r.damaged, r.reordered, r.duplicated, r.dropped];
  for (const [i, value] of [...numbers, ...counts].entries()) b.writeUIntBE(clamp(value), 44 + 6 * i, 6);
  hmac(b, key).copy(b, STATE_BYTES);
  return frame;
}

/** A frame for `writeData`, of the given size in bytes with its Ethernet header: all but what differs from frame to frame. */
export function dataTemplate(
  bytes: number,
  mac: { destination: string; source: string },
  { sender, link, session }: Omit<DataFrame, 'sequence'>,
): Buffer {
  const frame = Buffer.alloc(bytes);
  head(frame, mac, KIND_DATA, { sender, link });
  const b = frame.subarray(ETHERNET_HEADER_BYTES);
  session.copy(b, 8, 0, SESSION_BYTES);
  b.writeUInt16BE(b.length, 22);
  // All bytes differ from their neighbours, and long runs of equal bits are among them.
  for (let i = DATA_HEAD_BYTES; i < b.length - CRC_BYTES; i++) b[i] = (Math.imul(i, 0x9e3779b1) >>> 24) & (i % 97 === 0 ? 0 : 0xff);
  return frame;
}

/** Sequence and checksum into a frame of `dataTemplate`, in place: a system call's worth of them costs a microsecond each. */
export function writeData(frame: Buffer, sequence: number): void {
  frame.writeUIntBE(sequence, ETHERNET_HEADER_BYTES + 16, 6);
  frame.writeUInt32BE(crc32(frame.subarray(ETHERNET_HEADER_BYTES, frame.length - CRC_BYTES)), frame.length - CRC_BYTES);
}

/** Never throws. Padding behind a frame is passed over. The session of data is for the caller to compare. */
export function decodeFlood(frame: Buffer, key: Uint8Array): FloodFrame {
  const b = frame.subarray(ETHERNET_HEADER_BYTES);
  if (b.length < HEAD_BYTES || b.readUInt32BE(0) !== MAGIC) return { kind: 'foreign' };
  const letter = b[6];
  if (b[4] !== VERSION) return { kind: 'foreign' };
  if (letter !== 0 && letter !== 1) return { kind: 'damaged' };
  const from = { sender: letter === 0 ? 'A' : 'B', link: b[7] ?? 0 } as const;
  if (b[5] === KIND_DATA) return decodeData(b, from);
  return b[5] === KIND_STATE ? decodeState(b, from, key) : { kind: 'damaged' };
}

function decodeData(b: Buffer, from: { sender: 'A' | 'B'; link: number }): FloodFrame {
  const length = b.length < DATA_HEAD_BYTES + CRC_BYTES ? 0 : b.readUInt16BE(22);
  if (length < DATA_HEAD_BYTES + CRC_BYTES || length > b.length) return { kind: 'damaged' };
  if (crc32(b.subarray(0, length - CRC_BYTES)) !== b.readUInt32BE(length - CRC_BYTES)) return { kind: 'damaged' };
  return { kind: 'data', data: { ...from, session: b.subarray(8, 8 + SESSION_BYTES), sequence: b.readUIntBE(16, 6) } };
}

function decodeState(b: Buffer, from: { sender: 'A' | 'B'; link: number }, key: Uint8Array): FloodFrame {
  if (b.length < STATE_BYTES + MAC_BYTES) return { kind: 'damaged' };
  // Another pair's, or damaged: which one cannot be told.
  if (!timingSafeEqual(hmac(b, key), b.subarray(STATE_BYTES, STATE_BYTES + MAC_BYTES))) return { kind: 'foreign' };
  const phase = PHASES[b[40] ?? 0];
  if (phase === undefined) return { kind: 'foreign' };
  const number = (i: number): number => b.readUIntBE(44 + 6 * i, 6);
  const flags = b[41] ?? 0;
  return {
    kind: 'state',
    state: {
      ...from,
      nonce: Buffer.from(b.subarray(8, 24)),
      heardNonce: Buffer.from(b.subarray(24, 40)),
      phase,
      answersOnly: (flags & 1) !== 0,
      heardFinished: (flags & 2) !== 0,
      sentUs: number(0),
      echoUs: number(1),
      heldUs: number(2),
      sentFrames: number(3),
      sendDropped: number(4),
      received: {
        frames: number(5),
        bytes: number(6),
        lost: number(7),
        damaged: number(8),
        reordered: number(9),
        duplicated: number(10),
        dropped: number(11),
      },
    },
  };
}

function head(frame: Buffer, mac: { destination: string; source: string }, kind: number, from: { sender: 'A' | 'B'; link: number }): void {
  macToBytes(mac.destination).copy(frame, 0);
  macToBytes(mac.source).copy(frame, 6);
  frame.writeUInt16BE(ETHER_TYPE_DATA, 12);
  frame.writeUInt32BE(MAGIC, 14);
  frame[18] = VERSION;
  frame[19] = kind;
  frame[20] = from.sender === 'A' ? 0 : 1;
  frame[21] = from.link;
}

function hmac(b: Buffer, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(b.subarray(0, STATE_BYTES)).digest().subarray(0, MAC_BYTES);
}

function clamp(value: number): number {
  return Math.min(SEQUENCE_MAX, Math.max(0, Math.round(value)));
}
