// Keys derived from the pair's key: one per purpose, so that none can be replayed in the place of another.
import { hkdfSync } from 'node:crypto';

export const PAIR_KEY_BYTES = 32;

/** HKDF-SHA256 of the pair's key: 32 bytes for one purpose ("stream:memory", "heartbeat", "witness"). */
export function deriveKey(pairKey: Uint8Array, purpose: string): Buffer {
  if (pairKey.length !== PAIR_KEY_BYTES) throw new Error(`the pair's key has ${pairKey.length} bytes, ${PAIR_KEY_BYTES} are needed`);
  return Buffer.from(hkdfSync('sha256', pairKey, 'twinstep', purpose, 32));
}
