// The head of the update that was received last: manifest and signature as they came. With it the update can be put together again from this
// server's own disk, to be sent to the other CoServer, so that nobody has to keep 190 MB twice.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { decodeHeader, decodeManifest, HEADER_BYTES, MAX_MANIFEST_BYTES, type Manifest, SIGNATURE_BYTES } from './bundle.ts';
import { writeKept } from './record.ts';

export interface KeptHead {
  manifest: Manifest;
  /** Header, manifest, signature. */
  bytes: Buffer;
}

const MAX_BYTES = HEADER_BYTES + MAX_MANIFEST_BYTES + SIGNATURE_BYTES;

/** Beside the record of the last wish. */
export function headFileOf(recordFile: string): string {
  return join(dirname(recordFile), 'update.head');
}

/** False: there is no room for it; the update is installed all the same, and cannot be sent on. */
export function keepHead(recordFile: string, bytes: Buffer): boolean {
  return writeKept(headFileOf(recordFile), bytes);
}

/** null: none, or none that can be read. Whoever receives it judges its signature. */
export function readHead(recordFile: string): KeptHead | null {
  try {
    const bytes = readFileSync(headFileOf(recordFile));
    const manifestBytes = decodeHeader(bytes);
    if (bytes.length > MAX_BYTES || bytes.length !== HEADER_BYTES + manifestBytes + SIGNATURE_BYTES) return null;
    return { manifest: decodeManifest(bytes.subarray(HEADER_BYTES, HEADER_BYTES + manifestBytes)), bytes };
  } catch {
    return null;
  }
}
