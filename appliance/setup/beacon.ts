// What a server that is being set up says on each of its ports: who it is, which port this is and what for, and whom it hears there.
//
// Frames of type 0x88B6 (IEEE 802, clause 9.2.3: local experiments) beside those of pairing, told apart by their first four bytes. README.md
// holds the byte tables. Pure. Nothing in them is authentic: they lead people and cables together, the pairing's code decides.
import { ROLES, type Role } from './roles.ts';

export const BEACON_BYTES = 112;
export const SETUP_VERSION = 1;
/** 'TwSu' */
const MAGIC = 0x54775375;
const KIND_BEACON = 1;
const KIND_PART = 2;
/** More ports than any server has; a number is one byte. */
export const PORTS_MAX = 64;
const NAME_BYTES = 16;
/** Of a frame of 1500 bytes, with room for tags. */
export const PART_BYTES = 1024;
const PART_HEADER_BYTES = 34;
/** 64 KiB: an inventory is a few. */
export const PARTS_MAX = 64;

export const NO_IDENTITY = '00'.repeat(16);
export const NO_PROOF = '00'.repeat(32);

/**
 * How far the questions are. Of a CoServer that runs, beside a server that is set up: alone, its partner is not heard; accepting, its operator lets a
 * new server take the partner's place.
 */
export const STAGES = ['asking', 'pairing', 'paired', 'done', 'alone', 'accepting'] as const;
export type Stage = (typeof STAGES)[number];

export const isConfigured = (stage: Stage): boolean => stage === 'alone' || stage === 'accepting';

export interface Beacon {
  /** 32 hex digits, random with every start. */
  identity: string;
  /** Null: not chosen yet. */
  coServer: 'A' | 'B' | null;
  stage: Stage;
  /** 32 hex digits: of the pair it belongs to already; NO_IDENTITY: none. */
  pairId: string;
  sequence: number;
  /** From 1. */
  port: number;
  ports: number;
  role: Role;
  /** Its kernel's name: ASCII, at most 16 characters. */
  name: string;
  /** Who is heard on this port, and which of its ports; NO_IDENTITY and 0: nobody. */
  heardIdentity: string;
  heardPort: number;
  /** 64 hex digits: that the secret of an unattended pairing is known (`unattended.ts`); NO_PROOF: none. */
  proof: string;
}

/** A piece of a sealed document (`document.ts`). */
export interface DocumentPart {
  identity: string;
  /** 16 hex digits: which document. */
  document: string;
  part: number;
  parts: number;
  data: Buffer;
}

export type SetupReading =
  | { kind: 'beacon'; beacon: Beacon }
  | { kind: 'part'; part: DocumentPart }
  | { kind: 'version'; version: number }
  /** Not ours, or damaged. */
  | { kind: 'other' };

function writeHex(b: Buffer, value: string, at: number, bytes: number, name: string): void {
  if (value.length !== 2 * bytes || b.write(value, at, bytes, 'hex') !== bytes)
    throw new RangeError(`${name} is not ${bytes} bytes of hex`);
}

function header(bytes: number, kind: number): Buffer {
  const b = Buffer.alloc(bytes);
  b.writeUInt32BE(MAGIC, 0);
  b.writeUInt8(SETUP_VERSION, 4);
  b.writeUInt8(kind, 5);
  return b;
}

/** Throws RangeError for values that do not fit. */
export function encodeBeacon(beacon: Beacon): Buffer {
  const b = header(BEACON_BYTES, KIND_BEACON);
  b.writeUInt8(beacon.coServer === null ? 0 : beacon.coServer === 'A' ? 1 : 2, 6);
  b.writeUInt8(STAGES.indexOf(beacon.stage), 7);
  writeHex(b, beacon.identity, 8, 16, 'identity');
  writeHex(b, beacon.pairId, 24, 16, "the pair's id");
  b.writeUInt32BE(beacon.sequence >>> 0, 40);
  if (beacon.port < 1 || beacon.port > beacon.ports || beacon.ports > PORTS_MAX)
    throw new RangeError(`port ${beacon.port} of ${beacon.ports}`);
  b.writeUInt8(beacon.port, 44);
  b.writeUInt8(beacon.ports, 45);
  b.writeUInt8(ROLES.indexOf(beacon.role), 46);
  b.writeUInt8(beacon.heardPort, 47);
  writeHex(b, beacon.heardIdentity, 48, 16, 'the identity that is heard');
  if (!/^[\x21-\x7e]{1,16}$/.test(beacon.name)) throw new RangeError(`'${beacon.name}' is not the name of a port`);
  b.write(beacon.name, 64, NAME_BYTES, 'latin1');
  writeHex(b, beacon.proof, 80, 32, 'proof');
  return b;
}

export function encodePart({ identity, document, part, parts, data }: DocumentPart): Buffer {
  if (part < 0 || part >= parts || parts > PARTS_MAX || data.length < 1 || data.length > PART_BYTES)
    throw new RangeError(`part ${part} of ${parts} with ${data.length} bytes`);
  const b = header(PART_HEADER_BYTES + data.length, KIND_PART);
  b.writeUInt8(part, 6);
  b.writeUInt8(parts, 7);
  writeHex(b, identity, 8, 16, 'identity');
  writeHex(b, document, 24, 8, 'document');
  b.writeUInt16BE(data.length, 32);
  data.copy(b, PART_HEADER_BYTES);
  return b;
}

/** Never throws, whatever the bytes: a NIC may have padded them. */
export function decodeSetup(b: Buffer): SetupReading {
  if (b.length < 6 || b.readUInt32BE(0) !== MAGIC) return { kind: 'other' };
  const version = b.readUInt8(4);
  if (version !== SETUP_VERSION) return { kind: 'version', version };
  switch (b.readUInt8(5)) {
    case KIND_BEACON:
      return decodeBeacon(b);
    case KIND_PART:
      return decodePart(b);
    default:
      return { kind: 'other' };
  }
}

function decodeBeacon(b: Buffer): SetupReading {
  if (b.length !== BEACON_BYTES) return { kind: 'other' };
  const side = b.readUInt8(6);
  const stage = STAGES[b.readUInt8(7)];
  const [port, ports, heardPort] = [b.readUInt8(44), b.readUInt8(45), b.readUInt8(47)];
  const role = ROLES[b.readUInt8(46)];
  const name = /^([\x21-\x7e]+)\0*$/.exec(b.toString('latin1', 64, 64 + NAME_BYTES))?.[1];
  if (side > 2 || !stage || !role || !name || port < 1 || port > ports || ports > PORTS_MAX || heardPort > PORTS_MAX)
    return { kind: 'other' };
  return {
    kind: 'beacon',
    beacon: {
      identity: b.toString('hex', 8, 24),
      coServer: side === 0 ? null : side === 1 ? 'A' : 'B',
      stage,
      pairId: b.toString('hex', 24, 40),
      sequence: b.readUInt32BE(40),
      port,
      ports,
      role,
      name,
      heardIdentity: b.toString('hex', 48, 64),
      heardPort,
      proof: b.toString('hex', 80, 112),
    },
  };
}

function decodePart(b: Buffer): SetupReading {
  if (b.length < PART_HEADER_BYTES + 1) return { kind: 'other' };
  const [part, parts, length] = [b.readUInt8(6), b.readUInt8(7), b.readUInt16BE(32)];
  if (part >= parts || parts > PARTS_MAX || length < 1 || length > PART_BYTES || b.length < PART_HEADER_BYTES + length)
    return { kind: 'other' };
  const data = Buffer.from(b.subarray(PART_HEADER_BYTES, PART_HEADER_BYTES + length));
  return { kind: 'part', part: { identity: b.toString('hex', 8, 24), document: b.toString('hex', 24, 32), part, parts, data } };
}
