// What tells this disk from another that has its name: a new file where a failed one was must not inherit its record.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { deviceIdentity, deviceNumbers } from '../../drivers/block/index.ts';
import { deriveKey } from '../wire/keys.ts';
import type { DiskIdentity } from './metadata.ts';

/** Which pair a record belongs to. A pair that has changed its key is still the same one: its id, where that is known. */
export function pairName(pairKey: Uint8Array, pairId: string | undefined): string {
  const hash = createHash('sha256');
  if (pairId === undefined) hash.update(deriveKey(pairKey, 'mirror:pair'));
  else hash.update(`pair ${pairId}`);
  return hash.digest('hex').slice(0, 16);
}

/** A disk that nothing names: nothing recorded of it is believed. */
export async function identifyDisk(path: string, sizeBytes: number, pair: string): Promise<DiskIdentity> {
  const name = await diskName(path);
  return { pair, disk: name === null ? null : createHash('sha256').update(name).digest(), sizeBytes };
}

/** A text that another file or device in its place would not have. Null: nothing names it, or it is not there. */
export async function diskName(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found?.isFile()) return `file ${found.ino} ${found.birthtimeNs}`;
  return found?.isBlockDevice() ? await deviceIdentity(deviceNumbers(Number(found.rdev))) : null;
}

/** There is nothing there yet: no file, or one whose creation was cut short. */
export async function isMissing(path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.isFile() && found.size === 0;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
