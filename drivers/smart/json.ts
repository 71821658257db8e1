// Careful steps into JSON that somebody else printed: whatever is not there, or of another type, is null or empty. Pure.

export type Json = Readonly<Record<string, unknown>>;

const TEXT_MAX_CHARS = 64; // a model's name has at most 40 characters, in all three standards

export function asObject(value: unknown): Json | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

export function at(value: unknown, ...path: string[]): unknown {
  let here: unknown = value;
  for (const key of path) {
    const object = asObject(here);
    if (object === null || !Object.hasOwn(object, key)) return null;
    here = object[key];
  }
  return here;
}

export function objects(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(asObject).filter((entry) => entry !== null) : [];
}

/** A whole number that counts something. Firmware prints 2^64 - 1 for "unknown": no safe integer, so null. */
export function count(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

export function truth(value: unknown): boolean | null {
  return typeof value === 'boolean' ? value : null;
}

/** Printable, trimmed and short: it goes to terminals and pages. Empty where there is none. */
export function text(value: unknown, maxChars = TEXT_MAX_CHARS): string {
  if (typeof value !== 'string') return '';
  return value
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, maxChars)
    .trimEnd();
}
