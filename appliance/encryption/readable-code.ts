// Chance as people read and type it: letters and digits that are not mistaken for each other (Crockford's base 32), in groups. Pure.

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const GROUP = 4;
/** What people read for what is printed. */
const MISREAD: Readonly<Record<string, string>> = { o: '0', i: '1', l: '1' };

const grouped = (characters: string): string => characters.match(new RegExp(`.{1,${GROUP}}`, 'g'))?.join('-') ?? '';

/** How many characters `bytes` of chance have. */
export const charactersOf = (bytes: number): number => Math.floor((bytes * 8) / 5);

/** `0123-4567-...` */
export function readableCode(random: Buffer): string {
  const bits = BigInt(`0x${random.toString('hex')}`);
  const digit = (i: number): string => ALPHABET[Number((bits >> BigInt(random.length * 8 - 5 * (i + 1))) & 31n)] ?? '';
  return grouped(Array.from({ length: charactersOf(random.length) }, (_, i) => digit(i)).join(''));
}

/** What was typed, as it was printed; null: it cannot be a code of so many bytes. Capitals, blanks and dashes do not matter. */
export function readCode(typed: string, bytes: number): string | null {
  const plain = [...typed.toLowerCase().replace(/[\s-]/g, '')].map((c) => MISREAD[c] ?? c);
  return plain.length === charactersOf(bytes) && plain.every((c) => ALPHABET.includes(c)) ? grouped(plain.join('')) : null;
}

export const lastGroup = (code: string): string => code.slice(-GROUP);
