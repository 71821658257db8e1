// The datagram between the management addresses: what a CoServer says of itself, encrypted and authenticated. README.md holds the byte table.
//
// Pure. AES-256-GCM over everything; the header is not secret, but a changed one does not open. The nonce is the sender's incarnation and
// sequence, so that none is ever used twice with the key: an incarnation is 64 random bits per start of a process.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { PartnerStatus } from '../core/machine.ts';
import { deriveKey } from './keys.ts';
import { parsePartnerStatus } from './partner-status.ts';

/** 'TwMg' */
const MAGIC = 0x54774d67;
const VERSION = 1;
const HEADER_BYTES = 20;
const NONCE_OFFSET = 8;
const NONCE_BYTES = 12;
/** Before the status: the echo. */
const ECHO_BYTES = 12;
const TAG_BYTES = 16;
/** A status has 500 bytes. Anything longer is a mistake, and would leave in fragments. */
export const MANAGEMENT_MAX_BYTES = 1_400;
/** At five a second: 27 years. */
const SEQUENCE_MAX = 0xffffffff;
/** No process has it. */
const NOBODY = '0000000000000000';

export interface ManagementDatagram {
  sender: 'A' | 'B';
  /** 16 hex digits, random at each start of the sender's process. */
  incarnation: string;
  /** +1 per datagram, from 1. */
  sequence: number;
  /** The last datagram of the receiver that the sender accepted or doubted; null: none. It shows that this one is young. */
  echo: { incarnation: string; sequence: number } | null;
  status: PartnerStatus;
}

export type ManagementReading =
  | { kind: 'datagram'; datagram: ManagementDatagram }
  /** Another pair's key, or bytes that were changed. */
  | { kind: 'forged' }
  /** A newer or older software on the other side. */
  | { kind: 'otherVersion'; version: number }
  /** Not one of ours, truncated; or, made with the key, what we do not understand. */
  | { kind: 'malformed'; reason: string };

export function managementKey(pairKey: Uint8Array): Buffer {
  return deriveKey(pairKey, 'management');
}

/** Throws RangeError for what does not fit: a status that is too long, a sequence that is used up. */
export function encodeManagement(d: ManagementDatagram, key: Uint8Array): Buffer {
  if (!Number.isInteger(d.sequence) || d.sequence < 1 || d.sequence > SEQUENCE_MAX) throw new RangeError(`sequence ${d.sequence}`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt8(VERSION, 4);
  header.writeUInt8(d.sender === 'A' ? 0 : 1, 5);
  header.write(d.incarnation, NONCE_OFFSET, 8, 'hex');
  header.writeUInt32BE(d.sequence, 16);
  const echo = Buffer.alloc(ECHO_BYTES);
  echo.write(d.echo?.incarnation ?? NOBODY, 0, 8, 'hex');
  echo.writeUInt32BE(d.echo?.sequence ?? 0, 8);
  const cipher = createCipheriv('aes-256-gcm', key, header.subarray(NONCE_OFFSET, NONCE_OFFSET + NONCE_BYTES));
  cipher.setAAD(header);
  const sealed = Buffer.concat([cipher.update(echo), cipher.update(JSON.stringify(d.status)), cipher.final()]);
  const bytes = Buffer.concat([header, sealed, cipher.getAuthTag()]);
  if (bytes.length > MANAGEMENT_MAX_BYTES) throw new RangeError(`a status of ${sealed.length} bytes does not fit into a datagram`);
  return bytes;
}

/** Never throws, whatever the bytes. */
export function decodeManagement(b: Buffer, key: Uint8Array): ManagementReading {
  if (b.length < HEADER_BYTES + ECHO_BYTES + TAG_BYTES || b.length > MANAGEMENT_MAX_BYTES) return malformed(`${b.length} bytes`);
  if (b.readUInt32BE(0) !== MAGIC) return malformed('not a management datagram');
  const version = b.readUInt8(4);
  if (version !== VERSION) return { kind: 'otherVersion', version };
  const header = b.subarray(0, HEADER_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, b.subarray(NONCE_OFFSET, NONCE_OFFSET + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(header);
  decipher.setAuthTag(b.subarray(b.length - TAG_BYTES));
  let open: Buffer;
  try {
    open = Buffer.concat([decipher.update(b.subarray(HEADER_BYTES, b.length - TAG_BYTES)), decipher.final()]);
  } catch {
    return { kind: 'forged' };
  }
  // From here it was made by someone who has the key: what is wrong now is a fault, not an attack.
  const sender = b.readUInt8(5);
  const incarnation = b.toString('hex', NONCE_OFFSET, 16);
  const sequence = b.readUInt32BE(16);
  if (sender > 1) return malformed(`sender ${sender}`);
  if (b.readUInt16BE(6) !== 0) return malformed('reserved bits are set');
  if (incarnation === NOBODY || sequence === 0) return malformed('no incarnation or sequence');
  const echoed = open.toString('hex', 0, 8);
  try {
    const status = parsePartnerStatus(JSON.parse(open.toString('utf8', ECHO_BYTES)));
    const echo = echoed === NOBODY ? null : { incarnation: echoed, sequence: open.readUInt32BE(8) };
    return { kind: 'datagram', datagram: { sender: sender === 0 ? 'A' : 'B', incarnation, sequence, echo, status } };
  } catch (e) {
    return malformed((e as Error).message);
  }
}

function malformed(reason: string): ManagementReading {
  return { kind: 'malformed', reason };
}
