// The key for people: 160 bits of chance in 32 letters and digits that are not mistaken for each other (Crockford's base 32). No key derivation has
// to make it stronger. As it is printed it is the passphrase: any Linux opens the partition with it. Pure.

export const RECOVERY_KEY_BYTES = 20;
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const GROUP = 4;
const CHARACTERS = (RECOVERY_KEY_BYTES * 8) / 5;
/** What people read for what is printed. */
const MISREAD: Readonly<Record<string, string>> = { o: '0', i: '1', l: '1' };

const grouped = (characters: string): string => characters.match(new RegExp(`.{${GROUP}}`, 'g'))?.join('-') ?? '';

/** `0123-4567-...`, eight groups. @param random RECOVERY_KEY_BYTES of chance. */
export function recoveryKeyOf(random: Buffer): string {
  if (random.length !== RECOVERY_KEY_BYTES) throw new RangeError(`a recovery key is made of ${RECOVERY_KEY_BYTES} bytes`);
  const bits = BigInt(`0x${random.toString('hex')}`);
  const digit = (i: number): string => ALPHABET[Number((bits >> BigInt(5 * (CHARACTERS - 1 - i))) & 31n)] ?? '';
  return grouped(Array.from({ length: CHARACTERS }, (_, i) => digit(i)).join(''));
}

/** What was typed, as it was printed; null: it cannot be a recovery key. Capitals, blanks and dashes do not matter. */
export function readRecoveryKey(typed: string): string | null {
  const plain = [...typed.toLowerCase().replace(/[\s-]/g, '')].map((c) => MISREAD[c] ?? c);
  return plain.length === CHARACTERS && plain.every((c) => ALPHABET.includes(c)) ? grouped(plain.join('')) : null;
}

/** Of a key that is on the screen: typed, it says that somebody has written the key down to its end. */
export const lastGroup = (recoveryKey: string): string => recoveryKey.slice(-GROUP);
