// Text and numbers of firmware and kernel: known, or null. Pure.

const TEXT_MAX_CHARS = 128; // SMBIOS recommends 64

/** What firmware says where its maker filled in nothing. */
const PLACEHOLDER =
  /^(to be filled( by o\.?e\.?m\.?)?|default string|not specified|not available|not provided|none|null|n\/?a|unknown|undefined|system (manufacturer|product name|version|serial number)|[0x ]+|\.+|-+|no dimm|\[?empty\]?|o\.?e\.?m\.?|0?123456789|1234567890)$/i;

/** Printable and trimmed, inner spaces once; null where nothing is said. */
export function known(text: string | null | undefined): string | null {
  const clean = (text ?? '')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .replace(/ {2,}/g, ' ')
    .trim()
    .slice(0, TEXT_MAX_CHARS)
    .trim();
  return clean === '' || PLACEHOLDER.test(clean) ? null : clean;
}

/** Without the placeholders: "0" and "none" are something that a kernel says. */
export function said(text: string | null | undefined): string | null {
  const clean = (text ?? '').trim();
  return /^[\x20-\x7e]{1,128}$/.test(clean) ? clean : null;
}

export function whole(text: string | null | undefined): number | null {
  const digits = /^\s*(\d{1,16})\s*$/.exec(text ?? '')?.[1];
  const value = Number(digits);
  return digits !== undefined && Number.isSafeInteger(value) ? value : null;
}

/** Null for zero, too: where zero means that it is not known. */
export function positive(value: number | null): number | null {
  return value !== null && value > 0 && Number.isSafeInteger(value) ? value : null;
}

/** Numbers inside names in their natural order: DIMM 2 before DIMM 10. The same on every machine. */
export function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : a > b ? 1 : 0);
}
