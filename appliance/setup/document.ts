// What two paired servers tell each other while they are set up: JSON, sealed under a key made from the pair's, in parts that fit into frames and
// are repeated until the setup ends. So the second server takes over what the first was told, and both are compared. Pure.
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { deriveKey } from '../wire/keys.ts';
import { type DocumentPart, PART_BYTES, PARTS_MAX } from './beacon.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Of the JSON: a document that unpacks to more is none of ours. */
const TEXT_MAX_BYTES = 1 << 20;
/** Each sender's documents change now and then, and somebody may make up parts of others. */
const DOCUMENTS_MAX = 4;

/** AES-256-GCM: nonce, cipher text, tag. Bound to the sender's side. @param random 12 bytes, never used twice. Throws RangeError when it is too long. */
export function sealDocument(value: object, pairKey: Uint8Array, sender: 'A' | 'B', random: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', deriveKey(pairKey, 'setup'), random).setAAD(Buffer.from(`twinstep setup ${sender}`));
  const sealed = Buffer.concat([random, cipher.update(deflateRawSync(JSON.stringify(value))), cipher.final(), cipher.getAuthTag()]);
  if (sealed.length > PARTS_MAX * PART_BYTES) throw new RangeError(`a document of ${sealed.length} bytes`);
  return sealed;
}

/** Null: not sealed under this key by that side. */
export function openDocument(sealed: Buffer, pairKey: Uint8Array, sender: 'A' | 'B'): unknown {
  if (sealed.length <= NONCE_BYTES + TAG_BYTES) return null;
  try {
    const decipher = createDecipheriv('aes-256-gcm', deriveKey(pairKey, 'setup'), sealed.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(`twinstep setup ${sender}`))
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    const packed = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    return JSON.parse(inflateRawSync(packed, { maxOutputLength: TEXT_MAX_BYTES }).toString()) as unknown;
  } catch {
    return null;
  }
}

const nameOf = (sealed: Buffer): string => createHash('sha256').update(sealed).digest('hex').slice(0, 16);

export function partsOf(sealed: Buffer, identity: string): DocumentPart[] {
  const parts = Math.ceil(sealed.length / PART_BYTES);
  const document = nameOf(sealed);
  return Array.from({ length: parts }, (_, part) => ({
    identity,
    document,
    part,
    parts,
    data: sealed.subarray(part * PART_BYTES, (part + 1) * PART_BYTES),
  }));
}

/** Collects the parts of one sender's documents. */
export class DocumentInbox {
  readonly #open = new Map<string, (Buffer | undefined)[]>();

  /** The whole document when this was its last missing part, else null. */
  take({ document, part, parts, data }: DocumentPart): Buffer | null {
    let pieces = this.#open.get(document);
    if (!pieces || pieces.length !== parts) {
      if (this.#open.size >= DOCUMENTS_MAX) this.#open.clear();
      pieces = Array.from({ length: parts }, () => undefined);
      this.#open.set(document, pieces);
    }
    pieces[part] = data;
    const whole = pieces.filter((p) => p !== undefined);
    if (whole.length !== parts) return null;
    this.#open.delete(document);
    const sealed = Buffer.concat(whole);
    return nameOf(sealed) === document ? sealed : null;
  }
}
