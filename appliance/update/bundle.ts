// The head of an update: what is judged before a byte is written. Pure; the byte table is in the README.
import { type KeyObject, verify } from 'node:crypto';
import { isVersion } from './version.ts';

export const MAGIC = 'TWSTEPUP';
export const FORMAT = 1;
export const HEADER_BYTES = 16;
export const SIGNATURE_BYTES = 64;
/** Today's is 400 bytes. */
export const MAX_MANIFEST_BYTES = 16 << 10;
/** A third of the EFI system partition: the running version, the one before it, and this one. */
export const MAX_PROGRAM_BYTES = 80 << 20;
/** More than any slot; what a slot really holds is asked of the disk. */
const MAX_SLOT_BYTES = 2 ** 36;

export interface Content {
  bytes: number;
  /** 64 hex digits. */
  sha256: string;
}

export interface Manifest {
  version: string;
  /** Of QEMU: while it differs, a pair runs at level 2. */
  engine: string;
  /** The oldest version that this one can be installed from. */
  minimumFrom: string;
  /** The program of the boot. */
  program: Content;
  slot: Content;
}

/** Why an update is not taken: a word for programs, and a sentence with the remedy for people. */
export type RefusalKind =
  | 'notAnUpdate'
  | 'format'
  | 'manifest'
  | 'noKeys'
  | 'signature'
  | 'truncated'
  | 'tooLong'
  | 'hash'
  | 'tooLarge'
  | 'same'
  | 'downgrade'
  | 'tooOld'
  | 'onTrial'
  | 'busy'
  | 'nothing'
  | 'disk'
  | 'notAppliance';

export class UpdateRefusal extends Error {
  readonly kind: RefusalKind;
  /** Asked for with force it would be done. */
  readonly canForce: boolean;
  constructor(kind: RefusalKind, message: string, { canForce = false } = {}) {
    super(message);
    this.name = 'UpdateRefusal';
    this.kind = kind;
    this.canForce = canForce;
  }
}

/** As it is signed: the same manifest gives the same bytes. */
export function encodeManifest(m: Manifest): Buffer {
  const { version, engine, minimumFrom, program, slot } = m;
  const content = ({ bytes, sha256 }: Content) => ({ bytes, sha256 });
  const value = { kind: 'twinstep-update', schema: 1, version, engine, minimumFrom, program: content(program), slot: content(slot) };
  return Buffer.from(`${JSON.stringify(value, null, 1)}\n`);
}

/** Header, manifest, signature: what stands in front of program and slot. */
export function encodeHead(manifest: Buffer, signature: Buffer): Buffer {
  if (signature.length !== SIGNATURE_BYTES)
    throw new Error(`an Ed25519 signature has ${SIGNATURE_BYTES} bytes, this one ${signature.length}`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(FORMAT, 8);
  header.writeUInt32LE(manifest.length, 12);
  return Buffer.concat([header, manifest, signature]);
}

/** Bytes of the manifest. Throws UpdateRefusal. */
export function decodeHeader(header: Buffer): number {
  if (header.length < HEADER_BYTES || header.toString('latin1', 0, 8) !== MAGIC)
    throw new UpdateRefusal('notAnUpdate', 'This file is no update of Twinstep: take the file twinstep-VERSION.update.');
  const format = header.readUInt32LE(8);
  if (format !== FORMAT)
    throw new UpdateRefusal(
      'format',
      `This update has format ${format}, this version reads format ${FORMAT}: install a version in between first (its notes say which).`,
    );
  const bytes = header.readUInt32LE(12);
  if (bytes === 0 || bytes > MAX_MANIFEST_BYTES)
    throw new UpdateRefusal(
      'manifest',
      `The update's manifest has ${bytes} bytes, ${MAX_MANIFEST_BYTES} at most: the file is damaged. Fetch it again.`,
    );
  return bytes;
}

/** `keys`: those of the running image. Nothing of the manifest is looked at before this answered. Throws UpdateRefusal. */
export function checkSignature(manifest: Buffer, signature: Buffer, keys: readonly KeyObject[]): void {
  if (keys.length === 0)
    throw new UpdateRefusal('noKeys', 'This image trusts no key for updates: install an image that was made with --update-key.');
  if (signature.length === SIGNATURE_BYTES && keys.some((key) => verify(null, manifest, key, signature))) return;
  throw new UpdateRefusal(
    'signature',
    'The update is not signed by a key that this image trusts, or was changed since: fetch it again from where your image came from.',
  );
}

/** Throws UpdateRefusal naming the field. */
export function decodeManifest(bytes: Buffer): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw wrongManifest('it is not JSON');
  }
  const m = fieldsOf(value, 'manifest');
  if (m.kind !== 'twinstep-update') throw wrongManifest('kind is not twinstep-update');
  if (m.schema !== 1)
    throw new UpdateRefusal('format', `The update's manifest has schema ${shown(m.schema)}, this version reads schema 1.`);
  return {
    version: versionOf(m.version, 'version'),
    engine: textOf(m.engine, 'engine', /^\d+(\.\d+){1,3}$/),
    minimumFrom: versionOf(m.minimumFrom, 'minimumFrom'),
    program: contentOf(m.program, 'program', MAX_PROGRAM_BYTES),
    slot: contentOf(m.slot, 'slot', MAX_SLOT_BYTES),
  };
}

function wrongManifest(why: string): UpdateRefusal {
  return new UpdateRefusal('manifest', `The update's manifest cannot be read: ${why}. Fetch a newer update.`);
}

function fieldsOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongManifest(`${name} is no object`);
  return value as Record<string, unknown>;
}

function textOf(value: unknown, name: string, pattern: RegExp): string {
  if (typeof value !== 'string' || value.length > 100 || !pattern.test(value)) throw wrongManifest(`${name} is ${shown(value)}`);
  return value;
}

function versionOf(value: unknown, name: string): string {
  if (typeof value !== 'string' || !isVersion(value)) throw wrongManifest(`${name} is ${shown(value)}`);
  return value;
}

function contentOf(value: unknown, name: string, maximum: number): Content {
  const { bytes, sha256 } = fieldsOf(value, name);
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 1 || bytes > maximum)
    throw wrongManifest(`${name}.bytes is ${shown(bytes)}`);
  return { bytes, sha256: textOf(sha256, `${name}.sha256`, /^[0-9a-f]{64}$/) };
}

/** A hostile value must not fill a screen or speak to a terminal. */
function shown(value: unknown): string {
  return String(JSON.stringify(value) ?? 'missing')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 60);
}
