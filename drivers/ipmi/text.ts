// Names in sensor records (IPMI 2.0, 43.15) and fields of inventories (FRU 1.0, 13): four ways to write text. Pure.

/** 0: 8-bit or bytes, 1: BCD plus, 2: packed 6-bit, 3: 8-bit. */
export function decodeText(type: number, text: Buffer): string {
  switch (type) {
    case 1:
      return bcdPlus(text);
    case 2:
      return sixBitText(text);
    default:
      return printable(text.toString('latin1'));
  }
}

const BCD_PLUS = '0123456789 -.:,_';

function bcdPlus(b: Buffer): string {
  return Array.from(b, (byte) => `${BCD_PLUS[byte >> 4] ?? ''}${BCD_PLUS[byte & 15] ?? ''}`)
    .join('')
    .trim();
}

/** Four characters in three bytes, from space on. */
function sixBitText(b: Buffer): string {
  let [text, held, bits] = ['', 0, 0];
  for (const byte of b) {
    held |= byte << bits;
    bits += 8;
    while (bits >= 6) {
      text += String.fromCharCode(0x20 + (held & 63));
      held >>= 6;
      bits -= 6;
    }
  }
  return text.trim();
}

/** It goes to terminals and logs. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\xa0-\xff]/g, ' ').trim();
}
