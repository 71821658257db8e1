// What tells this disk from another that has its name: a new file where a failed one was must not inherit its record.
import { createHash, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { deriveKey } from '../wire/keys.ts';
import type { DiskIdentity } from './metadata.ts';

/** A block device has no name of its own that is always there: nothing recorded of it is believed. */
export async function identifyDisk(path: string, sizeBytes: number, pairKey: Uint8Array): Promise<DiskIdentity> {
  const pair = createHash('sha256').update(deriveKey(pairKey, 'mirror:pair')).digest('hex').slice(0, 16);
  const found = await stat(path, { bigint: true }).catch(() => null);
  const disk = found?.isFile() ? createHash('sha256').update(`file ${found.ino} ${found.birthtimeNs}`).digest() : randomBytes(32);
  return { pair, disk, sizeBytes };
}
