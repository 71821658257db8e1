// RMCP and RMCP+ packets: what is around an IPMI message on UDP. Pure.
//
//   RMCP header (IPMI 2.0, 13.1.3)  | session header (13.6)                                     | payload | session trailer (13.6)
//   06 00 ff 07                       06 type session-id(4) sequence(4) length(2)                          pad ff.. pad-length 07 code
//
// Outside of a session there is no trailer, id and sequence are 0. Inside, this driver knows encrypted and authenticated packets only:
// anything else is not an answer, so that nobody can talk a session down. All numbers are little-endian.
import { IpmiCodecError } from './types.ts';

/** IPMI 2.0, table 13-16; of the standard payloads. */
export const PAYLOAD = {
  message: 0x00,
  openSessionRequest: 0x10,
  openSessionResponse: 0x11,
  rakp1: 0x12,
  rakp2: 0x13,
  rakp3: 0x14,
  rakp4: 0x15,
} as const;

/** Largest packet that is looked at: an IPMI message has at most some 270 bytes. */
export const PACKET_MAX_BYTES = 1024;

const RMCP_HEADER = Buffer.from([0x06, 0x00, 0xff, 0x07]);
const AUTH_TYPE_NONE = 0x00;
const AUTH_TYPE_RMCP_PLUS = 0x06;
const ENCRYPTED = 0x80;
const AUTHENTICATED = 0x40;
const NEXT_HEADER = 0x07;
const SESSION_HEADER_BYTES = 12;
/** Where the session header begins. */
const SESSION_AT = RMCP_HEADER.length;
const PAYLOAD_AT = SESSION_AT + SESSION_HEADER_BYTES;

export type RmcpPacket =
  /** IPMI 1.5 without authentication (13.6): only what a client asks before it opens a session. */
  | { kind: 'version15'; sequence: number; sessionId: number; message: Buffer }
  /** Outside of a session: Open Session and RAKP. */
  | { kind: 'plain'; payloadType: number; payload: Buffer }
  /** Inside: `signed` is what `code` is made of, `payload` is encrypted. */
  | { kind: 'sealed'; payloadType: number; sessionId: number; sequence: number; payload: Buffer; signed: Buffer; code: Buffer };

function header(payloadType: number, sessionId: number, sequence: number, payloadBytes: number): Buffer {
  const b = Buffer.alloc(SESSION_HEADER_BYTES);
  b[0] = AUTH_TYPE_RMCP_PLUS;
  b[1] = payloadType;
  b.writeUInt32LE(sessionId, 2);
  b.writeUInt32LE(sequence, 6);
  b.writeUInt16LE(payloadBytes, 10);
  return b;
}

export function encodePlain(payloadType: number, payload: Buffer): Buffer {
  return Buffer.concat([RMCP_HEADER, header(payloadType, 0, 0, payload.length), payload]);
}

/** The part of a packet in a session that its integrity code is made of: session header to next-header byte. */
export function encodeSigned(payloadType: number, sessionId: number, sequence: number, encrypted: Buffer): Buffer {
  // Header, payload, pad, pad length and next header together are a multiple of 4.
  const pad = (4 - ((SESSION_HEADER_BYTES + encrypted.length + 2) % 4)) % 4;
  const trailer = Buffer.alloc(pad + 2, 0xff);
  trailer[pad] = pad;
  trailer[pad + 1] = NEXT_HEADER;
  return Buffer.concat([header(payloadType | ENCRYPTED | AUTHENTICATED, sessionId, sequence, encrypted.length), encrypted, trailer]);
}

export function encodeSealed(signed: Buffer, code: Buffer): Buffer {
  return Buffer.concat([RMCP_HEADER, signed, code]);
}

export function encodeVersion15(sequence: number, sessionId: number, message: Buffer): Buffer {
  const b = Buffer.alloc(10);
  b[0] = AUTH_TYPE_NONE;
  b.writeUInt32LE(sequence, 1);
  b.writeUInt32LE(sessionId, 5);
  b[9] = message.length;
  return Buffer.concat([RMCP_HEADER, b, message]);
}

/** @param codeBytes Length of the integrity code of the session, if there is one: 12 or 16. */
export function decodePacket(b: Buffer, codeBytes: number): RmcpPacket {
  if (b.length > PACKET_MAX_BYTES) throw new IpmiCodecError(`a packet of ${b.length} bytes`);
  // Sequence ff: no RMCP acknowledgement wanted; class 07: IPMI.
  if (b.length < SESSION_AT + 10 || b[0] !== 0x06 || b[3] !== 0x07) throw new IpmiCodecError('no RMCP packet of class IPMI');
  const authType = b[SESSION_AT];
  if (authType === AUTH_TYPE_NONE) {
    const length = b[SESSION_AT + 9] ?? 0;
    const message = b.subarray(SESSION_AT + 10, SESSION_AT + 10 + length);
    if (message.length !== length) throw new IpmiCodecError('a packet that ends too early');
    return { kind: 'version15', sequence: b.readUInt32LE(SESSION_AT + 1), sessionId: b.readUInt32LE(SESSION_AT + 5), message };
  }
  if (authType !== AUTH_TYPE_RMCP_PLUS) throw new IpmiCodecError(`authentication type ${authType} is not RMCP+`);
  if (b.length < PAYLOAD_AT) throw new IpmiCodecError('a packet that ends too early');
  const flags = b[SESSION_AT + 1] ?? 0;
  const sessionId = b.readUInt32LE(SESSION_AT + 2);
  const sequence = b.readUInt32LE(SESSION_AT + 6);
  const payloadEnd = PAYLOAD_AT + b.readUInt16LE(SESSION_AT + 10);
  const payload = b.subarray(PAYLOAD_AT, payloadEnd);
  if (payloadEnd > b.length) throw new IpmiCodecError('a packet that ends too early');
  const payloadType = flags & 0x3f;
  if ((flags & (ENCRYPTED | AUTHENTICATED)) === 0) {
    if (sessionId !== 0) throw new IpmiCodecError('a packet of a session without protection');
    return { kind: 'plain', payloadType, payload };
  }
  if ((flags & ENCRYPTED) === 0 || (flags & AUTHENTICATED) === 0) throw new IpmiCodecError('a packet with half of the protection');
  // Some BMCs pad more than needed: believe the lengths that are there, if they fit together.
  const codeAt = b.length - codeBytes;
  const pad = codeAt - 2 >= payloadEnd ? b[codeAt - 2] : undefined;
  if (pad === undefined || pad !== codeAt - 2 - payloadEnd || b[codeAt - 1] !== NEXT_HEADER)
    throw new IpmiCodecError('a packet with a broken trailer');
  const signed = b.subarray(SESSION_AT, codeAt);
  return { kind: 'sealed', payloadType, sessionId, sequence, payload, signed, code: b.subarray(codeAt) };
}
