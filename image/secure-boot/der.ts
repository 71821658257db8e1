// DER, as far as certificates and signatures need it (ITU-T X.690): a tag, a length, the content. Pure.

const TAGS = { integer: 0x02, bits: 0x03, octets: 0x04, nothing: 0x05, oid: 0x06, utf8: 0x0c, utcTime: 0x17, time: 0x18 } as const;
const CONSTRUCTED = { sequence: 0x30, set: 0x31, context: 0xa0 } as const;

export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const n = content.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : n < 0x10000 ? [0x82, n >> 8, n & 255] : [0x83, n >> 16, (n >> 8) & 255, n & 255];
  if (n >= 1 << 24) throw new RangeError(`${n} bytes are too many for one DER value`);
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(CONSTRUCTED.sequence, ...parts);
/** Sorted, as DER wants it. */
export const setOf = (...parts: readonly Uint8Array[]): Buffer => der(CONSTRUCTED.set, ...parts.toSorted(Buffer.compare));
/** `[n]`, constructed. */
export const context = (n: number, ...parts: readonly Uint8Array[]): Buffer => der(CONSTRUCTED.context + n, ...parts);
export const octets = (data: Uint8Array): Buffer => der(TAGS.octets, data);
/** Whole bytes. */
export const bits = (data: Uint8Array): Buffer => der(TAGS.bits, Buffer.from([0]), data);
export const utf8 = (text: string): Buffer => der(TAGS.utf8, Buffer.from(text));
export const NOTHING = der(TAGS.nothing);

/** Not negative; `value` big-endian. */
export function integer(value: Uint8Array): Buffer {
  const first = value.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.from([0]) : value.subarray(first);
  return der(TAGS.integer, ...((digits[0] ?? 0) >= 0x80 ? [Buffer.from([0])] : []), digits);
}

/** `1.2.840.113549`. */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(TAGS.oid, Buffer.from(bytes));
}

/** To the second, UTC: UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
export function time(at: Date): Buffer {
  const digits = at.toISOString().replace(/\D/g, '').slice(0, 14);
  return at.getUTCFullYear() < 2050 ? der(TAGS.utcTime, Buffer.from(`${digits.slice(2)}Z`)) : der(TAGS.time, Buffer.from(`${digits}Z`));
}

export interface DerValue {
  tag: number;
  /** With tag and length. */
  whole: Buffer;
  content: Buffer;
}

/** The values that follow each other in `bytes`. Throws RangeError when they do not end where the bytes do. */
export function readDer(bytes: Buffer): DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at < bytes.length; ) {
    const short = bytes.readUInt8(at + 1);
    const lengthBytes = short < 0x80 ? 0 : short & 0x7f;
    const length = lengthBytes === 0 ? short : bytes.readUIntBE(at + 2, lengthBytes);
    const from = at + 2 + lengthBytes;
    if (from + length > bytes.length) throw new RangeError('DER: a value is longer than what holds it');
    values.push({ tag: bytes.readUInt8(at), whole: bytes.subarray(at, from + length), content: bytes.subarray(from, from + length) });
    at = from + length;
  }
  return values;
}
