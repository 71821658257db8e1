// Opening a session: Open Session and RAKP 1 to 4 (IPMI 2.0, 13.17 to 13.24). Pure.
//
//   client                                             BMC
//   Open Session (my id, algorithms)            ->
//                                               <-     (its id, the same algorithms), or a status
//   RAKP 1 (random Rm, role, user)              ->
//                                               <-     RAKP 2 (random Rc, GUID, code: it knows the password)
//   RAKP 3 (code: so do I)                      ->
//                                               <-     RAKP 4 (integrity code of all: go)
import type { CipherSuite } from './types.ts';
import { IpmiCodecError } from './types.ts';

export interface Algorithms {
  authentication: number;
  integrity: number;
  confidentiality: number;
}

/** IPMI 2.0, tables 13-17 to 13-19 and 22-20. */
export const SUITE_ALGORITHMS: Record<CipherSuite, Algorithms> = {
  3: { authentication: 1, integrity: 1, confidentiality: 1 },
  17: { authentication: 3, integrity: 4, confidentiality: 1 },
};

export const PRIVILEGE = { user: 2, operator: 3, administrator: 4 } as const;
/** In the role byte of RAKP 1 (13.20): the user is found by name alone. */
export const NAME_ONLY_LOOKUP = 0x10;

/** IPMI 2.0, table 13-15. */
export const STATUS_TEXT: Record<number, string> = {
  1: 'insufficient resources to create a session',
  2: 'invalid session id',
  3: 'invalid payload type',
  4: 'invalid authentication algorithm',
  5: 'invalid integrity algorithm',
  6: 'no matching authentication payload',
  7: 'no matching integrity payload',
  8: 'inactive session id',
  9: 'invalid role',
  10: 'unauthorized role or privilege level requested',
  11: 'insufficient resources to create a session at the requested role',
  12: 'invalid name length',
  13: 'unauthorized name',
  14: 'unauthorized GUID',
  15: 'invalid integrity check value',
  16: 'invalid confidentiality algorithm',
  17: 'no cipher suite match with the proposed algorithms',
  18: 'illegal or unrecognized parameter',
};

export interface OpenSessionRequest {
  tag: number;
  /** 0: the highest that the suite allows. */
  privilege: number;
  clientId: number;
  algorithms: Algorithms;
}

/** What is left of an answer whose status is not 0. */
interface Failure {
  tag: number;
  status: number;
  clientId: number | undefined;
}

export type OpenSessionResponse = { tag: number; status: 0; clientId: number | undefined; bmcId: number; algorithms: Algorithms } | Failure;

export interface Rakp1 {
  tag: number;
  bmcId: number;
  clientRandom: Buffer;
  /** Privilege, and NAME_ONLY_LOOKUP. */
  role: number;
  username: Buffer;
}

export type Rakp2 = { tag: number; status: 0; clientId: number | undefined; bmcRandom: Buffer; guid: Buffer; code: Buffer } | Failure;

export interface Rakp3 {
  tag: number;
  status: number;
  bmcId: number;
  code: Buffer;
}

export interface Rakp4 {
  tag: number;
  status: number;
  clientId: number | undefined;
  code: Buffer;
}

/** Type of record (0 authentication, 1 integrity, 2 confidentiality), 2 reserved, length 8, algorithm, 3 reserved. */
function algorithmRecords(a: Algorithms): Buffer {
  return Buffer.concat([a.authentication, a.integrity, a.confidentiality].map((id, type) => Buffer.from([type, 0, 0, 8, id, 0, 0, 0])));
}

function readAlgorithms(b: Buffer, at: number): Algorithms {
  const id = (type: number): number => {
    const from = at + 8 * type;
    if (b[from] !== type || b[from + 3] !== 8) throw new IpmiCodecError('algorithms that are not as in the specification');
    return (b[from + 4] ?? 0) & 0x3f;
  };
  return { authentication: id(0), integrity: id(1), confidentiality: id(2) };
}

function head(tag: number, second: number, id: number): Buffer {
  const b = Buffer.from([tag, second, 0, 0, 0, 0, 0, 0]);
  b.writeUInt32LE(id, 4);
  return b;
}

function needs(b: Buffer, bytes: number, what: string): void {
  if (b.length < bytes) throw new IpmiCodecError(`${what} of ${b.length} bytes`);
}

/** Of an error, some BMCs send these first two bytes only. */
function decodeHead(b: Buffer, what: string): { tag: number; status: number; clientId: number | undefined } {
  needs(b, 2, what);
  const status = b.readUInt8(1);
  if (status === 0) needs(b, 8, what);
  return { tag: b.readUInt8(0), status, clientId: b.length >= 8 ? b.readUInt32LE(4) : undefined };
}

export function encodeOpenSessionRequest(m: OpenSessionRequest): Buffer {
  return Buffer.concat([head(m.tag, m.privilege, m.clientId), algorithmRecords(m.algorithms)]);
}

export function decodeOpenSessionRequest(b: Buffer): OpenSessionRequest {
  needs(b, 32, 'an Open Session request');
  return { tag: b.readUInt8(0), privilege: b.readUInt8(1) & 0x0f, clientId: b.readUInt32LE(4), algorithms: readAlgorithms(b, 8) };
}

export function encodeOpenSessionResponse(m: OpenSessionResponse, privilege = 0): Buffer {
  const start = head(m.tag, m.status, m.clientId ?? 0);
  if (!('bmcId' in m)) return start;
  start[2] = privilege;
  const id = Buffer.alloc(4);
  id.writeUInt32LE(m.bmcId);
  return Buffer.concat([start, id, algorithmRecords(m.algorithms)]);
}

export function decodeOpenSessionResponse(b: Buffer): OpenSessionResponse {
  const { tag, status, clientId } = decodeHead(b, 'an Open Session response');
  if (status !== 0) return { tag, status, clientId };
  needs(b, 36, 'an Open Session response');
  return { tag, status: 0, clientId, bmcId: b.readUInt32LE(8), algorithms: readAlgorithms(b, 12) };
}

export function encodeRakp1(m: Rakp1): Buffer {
  return Buffer.concat([head(m.tag, 0, m.bmcId), m.clientRandom, Buffer.from([m.role, 0, 0, m.username.length]), m.username]);
}

export function decodeRakp1(b: Buffer): Rakp1 {
  needs(b, 28, 'a RAKP 1');
  const length = b.readUInt8(27);
  if (length > 16 || b.length < 28 + length) throw new IpmiCodecError(`a RAKP 1 with a name of ${length} bytes`);
  const clientRandom = b.subarray(8, 24);
  return { tag: b.readUInt8(0), bmcId: b.readUInt32LE(4), clientRandom, role: b.readUInt8(24), username: b.subarray(28, 28 + length) };
}

export function encodeRakp2(m: Rakp2): Buffer {
  const start = head(m.tag, m.status, m.clientId ?? 0);
  return 'code' in m ? Buffer.concat([start, m.bmcRandom, m.guid, m.code]) : start;
}

/** @param codeBytes Of the suite's HMAC: 20 or 32. */
export function decodeRakp2(b: Buffer, codeBytes: number): Rakp2 {
  const { tag, status, clientId } = decodeHead(b, 'a RAKP 2');
  if (status !== 0) return { tag, status, clientId };
  needs(b, 40 + codeBytes, 'a RAKP 2');
  return { tag, status: 0, clientId, bmcRandom: b.subarray(8, 24), guid: b.subarray(24, 40), code: b.subarray(40, 40 + codeBytes) };
}

export function encodeRakp3(m: Rakp3): Buffer {
  return Buffer.concat([head(m.tag, m.status, m.bmcId), m.code]);
}

/** `code` is whatever follows. */
export function decodeRakp3(b: Buffer): Rakp3 {
  needs(b, 8, 'a RAKP 3');
  return { tag: b.readUInt8(0), status: b.readUInt8(1), bmcId: b.readUInt32LE(4), code: b.subarray(8) };
}

export function encodeRakp4(m: Rakp4): Buffer {
  return Buffer.concat([head(m.tag, m.status, m.clientId ?? 0), m.code]);
}

/** @param codeBytes Of the suite's integrity code: 12 or 16. */
export function decodeRakp4(b: Buffer, codeBytes: number): Rakp4 {
  const { tag, status, clientId } = decodeHead(b, 'a RAKP 4');
  if (status !== 0) return { tag, status, clientId, code: Buffer.alloc(0) };
  needs(b, 8 + codeBytes, 'a RAKP 4');
  return { tag, status, clientId, code: b.subarray(8, 8 + codeBytes) };
}
