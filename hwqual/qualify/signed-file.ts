// Inventories and reports as files that say whether they were changed after they were signed.
//
// Ed25519 over the canonical JSON (RFC 8785 for what occurs here: keys sorted, no spaces) of all but the signature. Each server has a key of
// its own, made when it is first needed. A signature says "as that server wrote it", and no more: whose key it was says its fingerprint,
// which the server shows.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

export interface Signature {
  algorithm: 'Ed25519';
  /** SPKI, DER, base64. */
  publicKey: string;
  /** SHA-256 of that, hex, in groups of four. */
  fingerprint: string;
  /** 64 bytes, base64. */
  value: string;
}

/** The file cannot be used: not there, not JSON, not what was asked for. */
export class FileError extends Error {
  override readonly name: string = 'FileError';
}

/** The file was changed after it was signed, or its signature is none. */
export class SignatureError extends FileError {
  override readonly name = 'SignatureError';
}

/** Some times the largest inventory, with room for a report. */
const FILE_MAX_BYTES = 4 << 20;
const DEPTH_MAX = 32;
const KEY_FILE = 'inventory-key.pem';

/** Throws FileError where it is deeper than anything of ours, or holds a number that is none. */
export function canonicalJson(value: Json | undefined, depth = 0): string {
  if (depth > DEPTH_MAX) throw new FileError('it is nested too deeply');
  if (typeof value === 'number' && !Number.isFinite(value)) throw new FileError('it holds a number that is none');
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  if (isList(value)) return `[${value.map((one) => canonicalJson(one, depth + 1)).join(',')}]`;
  const members = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key], depth + 1)}`);
  return `{${members.join(',')}}`;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** This server's key, made now if there is none. Throws FileError with the remedy. */
export function signingKey(stateDir: string): KeyObject {
  const file = join(stateDir, KEY_FILE);
  try {
    return readKey(file);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
  }
  const fresh = `${file}.${process.pid}`;
  try {
    const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    const opened = openSync(fresh, 'wx', 0o600);
    try {
      writeFileSync(opened, pem);
      fsyncSync(opened);
    } finally {
      closeSync(opened);
    }
    // Another command may have made one meanwhile: the first one stays.
    linkSync(fresh, file);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new FileError(`the key that signs inventories cannot be made in ${stateDir}: ${(e as Error).message}`);
  } finally {
    rmSync(fresh, { force: true });
  }
  return readKey(file);
}

function readKey(file: string): KeyObject {
  const pem = readFileSync(file, 'utf8');
  if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below.
  }
  throw new FileError(`${file} does not hold an Ed25519 key: remove it, and a new one is made (its fingerprint is another one then)`);
}

export function fingerprintOf(publicKey: KeyObject): string {
  const hex = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
  return hex.match(/.{4}/g)?.join(' ') ?? hex;
}

export function signed<T extends { [key: string]: Json | undefined }>(content: T, key: KeyObject): T & { signature: Signature } {
  const publicKey = createPublicKey(key);
  const value = sign(null, Buffer.from(canonicalJson(content)), key).toString('base64');
  const signature: Signature = {
    algorithm: 'Ed25519',
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    fingerprint: fingerprintOf(publicKey),
    value,
  };
  return { ...content, signature };
}

/**
 * The text of a signed file, without its signature. `name` is for the errors. Throws FileError: not JSON; SignatureError: it was changed
 * after it was signed.
 */
export function verified(text: string, name: string): { content: { [key: string]: Json | undefined }; fingerprint: string } {
  if (Buffer.byteLength(text) > FILE_MAX_BYTES) throw new FileError(`${name} is larger than any inventory`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw new FileError(`${name} is not JSON: ${(e as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new FileError(`${name} holds no inventory`);
  const { signature, ...content } = value as { [key: string]: Json | undefined };
  if (signature === undefined) throw new SignatureError(`${name}: it is not signed: write it with twinstep qualify --save`);
  const { algorithm, publicKey, value: bytes } = (signature ?? {}) as Record<string, unknown>;
  const key = algorithm === 'Ed25519' ? ed25519(publicKey) : null;
  const signatureBytes = bytesOf(bytes);
  if (key === null || signatureBytes === null) throw new SignatureError(`${name}: its signature is none that this version knows`);
  let canonical: string;
  try {
    canonical = canonicalJson(content);
  } catch (e) {
    throw new FileError(`${name}: ${(e as Error).message}`);
  }
  if (!verify(null, Buffer.from(canonical), key, signatureBytes))
    throw new SignatureError(`${name}: the signature does not fit: the file was changed after it was signed`);
  return { content, fingerprint: fingerprintOf(key) };
}

/** Null where it is not base64 as it is written: Node's decoder passes over what it does not know, so that many texts mean the same bytes. */
function bytesOf(base64: unknown): Buffer | null {
  if (typeof base64 !== 'string') return null;
  const bytes = Buffer.from(base64, 'base64');
  return bytes.toString('base64') === base64 ? bytes : null;
}

function ed25519(base64: unknown): KeyObject | null {
  const der = bytesOf(base64);
  if (der === null) return null;
  try {
    const key = createPublicKey({ key: der, type: 'spki', format: 'der' });
    // Bytes after the key would be passed over.
    return key.asymmetricKeyType === 'ed25519' && key.export({ type: 'spki', format: 'der' }).equals(der) ? key : null;
  } catch {
    return null;
  }
}

/** Throws FileError, which names the file. */
export function readSmallFile(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > FILE_MAX_BYTES) throw new FileError(`${file} has ${size} bytes: that is no inventory`);
    return readFileSync(file, 'utf8');
  } catch (e) {
    if (e instanceof FileError) throw e;
    throw new FileError(`cannot read ${file}: ${(e as Error).message}`);
  }
}
