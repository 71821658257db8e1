// What the two CoServers say to each other about updates, over a stream of their own (README, "Between the CoServers"). Pure.
import type { RefusalKind } from './bundle.ts';
import { type PairWish, parseWish } from './pair-wish.ts';
import type { RollingSide } from './rolling.ts';
import { isVersion } from './version.ts';

export type PairMessage =
  /** Every second, and at every change. */
  | { kind: 'state'; wish: PairWish | null; side: RollingSide }
  /** An update follows, as a file has it. `transfer`: 32 random bits. */
  | { kind: 'offer'; transfer: number; version: string; bytes: number }
  | { kind: 'data'; transfer: number; data: Buffer }
  /** So much of it was taken. */
  | { kind: 'taken'; transfer: number; bytes: number }
  /** It is whole on the receiver's disk (null), or why not. */
  | { kind: 'ended'; transfer: number; refusal: { kind: RefusalKind | 'other'; text: string } | null }
  /** The sender cannot go on. */
  | { kind: 'dropped'; transfer: number; text: string };

/** Of one message with data. */
export const DATA_BYTES = 256 << 10;
const SCHEMA = 1;
const DATA = 1;
const DATA_HEAD_BYTES = 5;
const MAX_JSON_BYTES = 16 << 10;
const MAX_TEXT = 600;

export function encodeMessage(message: PairMessage): Buffer[] {
  if (message.kind !== 'data') return [Buffer.from(JSON.stringify({ schema: SCHEMA, ...message }))];
  const head = Buffer.alloc(DATA_HEAD_BYTES);
  head[0] = DATA;
  head.writeUInt32BE(message.transfer, 1);
  return [head, message.data];
}

/** Throws with the field that is wrong. */
export function decodeMessage(bytes: Buffer): PairMessage {
  if (bytes[0] === DATA) {
    if (bytes.length <= DATA_HEAD_BYTES || bytes.length > DATA_HEAD_BYTES + DATA_BYTES) throw new Error(`data of ${bytes.length} bytes`);
    return { kind: 'data', transfer: bytes.readUInt32BE(1), data: bytes.subarray(DATA_HEAD_BYTES) };
  }
  if (bytes.length > MAX_JSON_BYTES) throw new Error(`a message of ${bytes.length} bytes`);
  const m = objectOf(JSON.parse(bytes.toString('utf8')), 'the message');
  if (m['schema'] !== SCHEMA) throw new Error(`schema is not ${SCHEMA}`);
  switch (m['kind']) {
    case 'state':
      return { kind: 'state', wish: m['wish'] === null ? null : parseWish(m['wish']), side: parseSide(m['side']) };
    case 'offer':
      return { kind: 'offer', transfer: count(m, 'transfer'), version: versionOf(m, 'version'), bytes: count(m, 'bytes') };
    case 'taken':
      return { kind: 'taken', transfer: count(m, 'transfer'), bytes: count(m, 'bytes') };
    case 'ended':
      return { kind: 'ended', transfer: count(m, 'transfer'), refusal: m['refusal'] === null ? null : parseRefusal(m['refusal']) };
    case 'dropped':
      return { kind: 'dropped', transfer: count(m, 'transfer'), text: textOf(m, 'text') };
    default:
      throw new Error('a message of an unknown kind');
  }
}

function parseSide(value: unknown): RollingSide {
  const s = objectOf(value, 'side');
  const { onTrial, role, level } = s;
  if (typeof onTrial !== 'boolean') throw new Error('side.onTrial is neither true nor false');
  if (role !== 'primary' && role !== 'secondary' && role !== 'none') throw new Error('side.role is none');
  if (level !== 2 && level !== 3) throw new Error('side.level is neither 2 nor 3');
  const orNull = (name: string) => (s[name] === null ? null : versionOf(s, name));
  return {
    version: versionOf(s, 'version'),
    onTrial,
    received: orNull('received'),
    givenUp: orNull('givenUp'),
    role,
    engine: textOf(s, 'engine'),
    level,
  };
}

function parseRefusal(value: unknown): { kind: RefusalKind | 'other'; text: string } {
  const r = objectOf(value, 'refusal');
  // A newer partner may know more kinds; whoever does not knows that it is none of those that pass by themselves.
  return { kind: textOf(r, 'kind') as RefusalKind | 'other', text: textOf(r, 'text') };
}

function objectOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${name} is no object`);
  return value as Record<string, unknown>;
}

function count(m: Record<string, unknown>, name: string): number {
  const value = m[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new Error(`${name} is no whole number`);
  return value;
}

function textOf(m: Record<string, unknown>, name: string): string {
  const value = m[name];
  if (typeof value !== 'string' || value.length > MAX_TEXT) throw new Error(`${name} is no short text`);
  return value;
}

function versionOf(m: Record<string, unknown>, name: string): string {
  const value = textOf(m, name);
  if (!isVersion(value)) throw new Error(`${name} is no version`);
  return value;
}
