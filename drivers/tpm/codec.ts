// The few commands of a TPM 2.0 that sealing a key needs, as bytes (TCG "TPM 2.0 Library", parts 2 and 3, revision 1.59; README.md has the
// tables). Pure. Everything is big endian; TPM2B means: 2 bytes of length in front.
import { createHash } from 'node:crypto';

export const HANDLE = { owner: 0x40000001, nobody: 0x40000007, password: 0x40000009 } as const;
export const COMMAND = {
  createPrimary: 0x131,
  create: 0x153,
  load: 0x157,
  unseal: 0x15e,
  flushContext: 0x165,
  startAuthSession: 0x176,
  pcrRead: 0x17e,
  policyPcr: 0x17f,
  pcrExtend: 0x182,
} as const;
const TAG = { plain: 0x8001, sessions: 0x8002 } as const;
const SHA256 = 0x000b;
const NONE = 0x0010;
/** AES of 128 bits in CFB: of every TPM (PC Client Platform TPM Profile). */
const AES_128_CFB = [0x0006, 128, 0x0043];
/** TPM2_ALG_ECC, its curve P-256, and an object that holds what somebody else made. */
const ECC = 0x0023;
const NIST_P256 = 0x0003;
const KEYED_HASH = 0x0008;
/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt: a storage key without a password. */
const STORAGE_KEY = 0x00030472;
/** fixedTPM, fixedParent, noDA. Without userWithAuth only the policy opens it. */
const SEALED_DATA = 0x00000412;
const HEADER_BYTES = 10;

export const sha256 = (...parts: readonly Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

export function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, i * 2);
  return bytes;
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, i * 4);
  return bytes;
}

/** TPM2B: its length, then itself. */
export const sized = (...parts: readonly Buffer[]): Buffer => {
  const data = Buffer.concat(parts);
  return Buffer.concat([u16(data.length), data]);
};

/** What a command is made of, apart from who may give it. */
export interface Command {
  code: number;
  handles: readonly number[];
  parameters: Buffer;
}

/** `authorisation`: of all sessions, one behind the other; none: the command needs none. */
export function encodeCommand({ code, handles, parameters }: Command, authorisation: Buffer | null = null): Buffer {
  const body = Buffer.concat([u32(...handles), ...(authorisation === null ? [] : [u32(authorisation.length), authorisation]), parameters]);
  return Buffer.concat([u16(authorisation === null ? TAG.plain : TAG.sessions), u32(HEADER_BYTES + body.length, code), body]);
}

/** An empty password, of whoever owns the TPM or a key in it. */
export const EMPTY_PASSWORD: Buffer = Buffer.concat([u32(HANDLE.password), u16(0), Buffer.from([0]), u16(0)]);

export interface SessionUse {
  handle: number;
  nonce: Buffer;
  attributes: number;
  hmac: Buffer;
}

export const encodeSession = ({ handle, nonce, attributes, hmac }: SessionUse): Buffer =>
  Buffer.concat([u32(handle), sized(nonce), Buffer.from([attributes]), sized(hmac)]);

/** The TPM said no. `code` without the number of the parameter, handle or session that it complains about. */
export class TpmRefusal extends Error {
  override name = 'TpmRefusal';
  readonly code: number;
  constructor(code: number) {
    super(`the TPM answers with code 0x${code.toString(16).padStart(3, '0')}`);
    this.code = plainCode(code);
  }
}

/** Part 2, 6.6: with bit 7 the number of what is wrong stands in bits 6 and 8 to 11. */
export const plainCode = (code: number): number => ((code & 0x80) === 0 ? code : code & 0xbf);

export const REFUSED = { policyFail: 0x9d, integrity: 0x9f, badAuth: 0xa2, authFail: 0x8e, initialize: 0x100 } as const;

/** Reads one field after the other; throws when the bytes end before. */
export class Reader {
  #at = 0;
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  take(length: number): Buffer {
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    if (part.length < length) throw new Error(`an answer of the TPM ends ${length - part.length} bytes too early`);
    this.#at += length;
    return part;
  }
  u8 = (): number => this.take(1).readUInt8();
  u16 = (): number => this.take(2).readUInt16BE();
  u32 = (): number => this.take(4).readUInt32BE();
  sized = (): Buffer => this.take(this.u16());
  rest = (): Buffer => this.take(this.#bytes.length - this.#at);
}

export interface Answer {
  /** As many as were expected. */
  handles: number[];
  parameters: Buffer;
  /** Null: it was given without sessions, or by password. */
  session: { nonce: Buffer; attributes: number; hmac: Buffer } | null;
}

/** Throws TpmRefusal when the TPM says no. @param handles How many this command answers. */
export function decodeAnswer(bytes: Buffer, handles: number): Answer {
  const reader = new Reader(bytes);
  const tag = reader.u16();
  const length = reader.u32();
  const code = reader.u32();
  if (length !== bytes.length) throw new Error(`an answer of the TPM says that it has ${length} bytes, and has ${bytes.length}`);
  if (code !== 0) throw new TpmRefusal(code);
  const found = Array.from({ length: handles }, () => reader.u32());
  if (tag !== TAG.sessions) return { handles: found, parameters: reader.rest(), session: null };
  const parameters = reader.take(reader.u32());
  return { handles: found, parameters, session: { nonce: reader.sized(), attributes: reader.u8(), hmac: reader.sized() } };
}

/** By which the TPM means an object: its hash algorithm, and the hash of its public area. */
export const nameOf = (publicArea: Buffer): Buffer => Buffer.concat([u16(SHA256), sha256(publicArea)]);

// ---- keys and what is sealed ---------------------------------------------------------------------------------------------------

/** The same key each time, for as long as nobody clears the TPM: it is made of the owner's seed and this template. */
export const PRIMARY_TEMPLATE: Buffer = Buffer.concat([
  u16(ECC, SHA256),
  u32(STORAGE_KEY),
  sized(),
  u16(...AES_128_CFB, NONE, NIST_P256, NONE),
  sized(),
  sized(),
]);

export function createPrimary(): Command {
  // No password, no data; the template; nothing to be remembered of PCRs.
  return {
    code: COMMAND.createPrimary,
    handles: [HANDLE.owner],
    parameters: Buffer.concat([sized(sized(), sized()), sized(PRIMARY_TEMPLATE), sized(), u32(0)]),
  };
}

export interface Point {
  x: Buffer;
  y: Buffer;
}

/** Of the primary key's public area. Throws when it is no key of the template. */
export function pointOf(publicArea: Buffer): Point {
  const head = PRIMARY_TEMPLATE.length - 4;
  if (!publicArea.subarray(0, head).equals(PRIMARY_TEMPLATE.subarray(0, head))) throw new Error('the key is not one of our template');
  const reader = new Reader(publicArea.subarray(head));
  return { x: reader.sized(), y: reader.sized() };
}

/** The first parameter is the secret: a session encrypts it on its way. */
export function create(parent: number, secret: Buffer, policyDigest: Buffer): Command {
  const publicArea = Buffer.concat([u16(KEYED_HASH, SHA256), u32(SEALED_DATA), sized(policyDigest), u16(NONE), sized()]);
  return {
    code: COMMAND.create,
    handles: [parent],
    parameters: Buffer.concat([sized(sized(), sized(secret)), sized(publicArea), sized(), u32(0)]),
  };
}

export const load = (parent: number, privatePart: Buffer, publicArea: Buffer): Command => ({
  code: COMMAND.load,
  handles: [parent],
  parameters: Buffer.concat([sized(privatePart), sized(publicArea)]),
});

export const unsealCommand = (handle: number): Command => ({ code: COMMAND.unseal, handles: [handle], parameters: Buffer.alloc(0) });

export const flushContext = (handle: number): Command => ({ code: COMMAND.flushContext, handles: [], parameters: u32(handle) });

// ---- sessions ------------------------------------------------------------------------------------------------------------------

export const SESSION = { hmac: 0x00, policy: 0x01 } as const;
/** Of a session: its first parameter is encrypted there, or back. Both end with the command. */
export const ATTRIBUTE = { decrypt: 0x20, encrypt: 0x40 } as const;

/** @param salt The point of a key of one use, from which both make the session's key. */
export function startAuthSession(key: number, nonce: Buffer, salt: Point, type: number): Command {
  return {
    code: COMMAND.startAuthSession,
    handles: [key, HANDLE.nobody],
    parameters: Buffer.concat([sized(nonce), sized(sized(salt.x), sized(salt.y)), Buffer.from([type]), u16(...AES_128_CFB, SHA256)]),
  };
}

// ---- platform configuration registers ------------------------------------------------------------------------------------------

/** TPML_PCR_SELECTION of the SHA-256 bank. */
export function pcrSelection(indices: readonly number[]): Buffer {
  const bits = Buffer.alloc(3);
  for (const index of indices) bits.writeUInt8(bits.readUInt8(index >> 3) | (1 << (index & 7)), index >> 3);
  return Buffer.concat([u32(1), u16(SHA256), Buffer.from([bits.length]), bits]);
}

export const pcrRead = (index: number): Command => ({ code: COMMAND.pcrRead, handles: [], parameters: pcrSelection([index]) });

/** Null: the TPM keeps no such register in SHA-256. */
export function pcrValue({ parameters }: Answer): Buffer | null {
  const reader = new Reader(parameters);
  reader.u32();
  for (let selections = reader.u32(); selections > 0; selections--) {
    reader.u16();
    reader.take(reader.u8());
  }
  return reader.u32() === 0 ? null : reader.sized();
}

export const pcrExtend = (index: number, digest: Buffer): Command => ({
  code: COMMAND.pcrExtend,
  handles: [index],
  parameters: Buffer.concat([u32(1), u16(SHA256), digest]),
});

/** In the order of their indices. */
export type PcrValues = readonly (readonly [index: number, value: Buffer])[];

const pcrDigest = (values: PcrValues): Buffer => sha256(...values.map(([, value]) => value));

/** The TPM compares its registers with `indices` of its own: what differs shows when the object is to be unsealed. */
export const policyPcr = (session: number, indices: readonly number[]): Command => ({
  code: COMMAND.policyPcr,
  handles: [session],
  parameters: Buffer.concat([sized(), pcrSelection(indices)]),
});

/** What a session's policy is when the registers had these values (part 3, 23.7). */
export const policyDigestOf = (values: PcrValues): Buffer =>
  sha256(Buffer.alloc(32), u32(COMMAND.policyPcr), pcrSelection(values.map(([index]) => index)), pcrDigest(values));
