// The key for people: 160 bits of chance, in letters and digits. No key derivation has to make it stronger. As it is printed it is the passphrase:
// any Linux opens the partition with it. Pure.
import { readableCode, readCode } from './readable-code.ts';

export const RECOVERY_KEY_BYTES = 20;

/** `0123-4567-...`, eight groups. @param random RECOVERY_KEY_BYTES of chance. */
export function recoveryKeyOf(random: Buffer): string {
  if (random.length !== RECOVERY_KEY_BYTES) throw new RangeError(`a recovery key is made of ${RECOVERY_KEY_BYTES} bytes`);
  return readableCode(random);
}

/** What was typed, as it was printed; null: it cannot be a recovery key. */
export const readRecoveryKey = (typed: string): string | null => readCode(typed, RECOVERY_KEY_BYTES);

/** Of a key that is on the screen: typed, it says that somebody has written the key down to its end. */
export { lastGroup } from './readable-code.ts';
