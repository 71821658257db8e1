// Sensor data records (IPMI 2.0, 33.12, 43): what sensors there are, and what their raw readings mean (36.3). Pure.
//
// Record head: id(2) version type length, then `length` bytes. Offsets below are the specification's minus 1.
import { needs } from './messages.ts';
import { IpmiCodecError } from './types.ts';

export const SDR_HEAD_BYTES = 5;

export interface SdrRecord {
  id: number;
  /** 01h full sensor, 02h compact sensor, 11h FRU locator, 12h controller locator, C0h a maker's ... */
  type: number;
  /** Of types 01h and 02h. */
  sensor: SdrSensor | undefined;
  /** The whole record as it came. */
  bytes: Buffer;
}

export interface SdrSensor {
  number: number;
  /** LUN of its owner. */
  lun: number;
  /** I2C address or software id of its owner; the BMC is 20h. */
  owner: number;
  name: string;
  /** Table 42-3. */
  sensorType: number;
  /** Table 42-1: 1 is a threshold sensor, with a value; others have states only. */
  eventType: number;
  /** "C", "V", "RPM" ...; '' for none. */
  unit: string;
  /** Only full records can turn a raw reading into a value. */
  conversion: Conversion | undefined;
  /** In raw readings, where the record says that the sensor has them readable. */
  thresholds: Partial<Record<ThresholdName, number>>;
}

export type ThresholdName =
  | 'upperNonRecoverable'
  | 'upperCritical'
  | 'upperNonCritical'
  | 'lowerNonRecoverable'
  | 'lowerCritical'
  | 'lowerNonCritical';

export interface Conversion {
  format: 'unsigned' | 'onesComplement' | 'twosComplement';
  m: number;
  b: number;
  /** Powers of ten of B and of the result. */
  bExponent: number;
  rExponent: number;
  /** Table 43-1, byte 24: 0 is linear. */
  linearization: number;
}

/** Table 43-15, those that servers have. */
const UNITS: Record<number, string> = {
  1: 'C',
  2: 'F',
  3: 'K',
  4: 'V',
  5: 'A',
  6: 'W',
  7: 'J',
  17: 'CFM',
  18: 'RPM',
  19: 'Hz',
  20: 'us',
  21: 'ms',
  22: 's',
  23: 'min',
  24: 'h',
};
const PERCENT = 0x01;

/** Byte 54 of a full record, its mask of readable thresholds (byte 19), and the order of the values from byte 37 on. */
const THRESHOLDS: readonly (readonly [ThresholdName, number, number])[] = [
  ['upperNonRecoverable', 5, 36],
  ['upperCritical', 4, 37],
  ['upperNonCritical', 3, 38],
  ['lowerNonRecoverable', 2, 39],
  ['lowerCritical', 1, 40],
  ['lowerNonCritical', 0, 41],
];

function signed(value: number, bits: number): number {
  return value >= 1 << (bits - 1) ? value - (1 << bits) : value;
}

/** Length of the record that begins with these five bytes. */
export function sdrLength(head: Buffer): number {
  needs(head, SDR_HEAD_BYTES, "an SDR's head");
  return SDR_HEAD_BYTES + head.readUInt8(4);
}

export function decodeSdr(b: Buffer): SdrRecord {
  const length = sdrLength(b);
  if (b.length !== length) throw new IpmiCodecError(`an SDR of ${b.length} bytes that says ${length}`);
  const type = b.readUInt8(3);
  const bytes = Buffer.from(b);
  return { id: b.readUInt16LE(0), type, sensor: type === 0x01 || type === 0x02 ? decodeSensor(bytes, type) : undefined, bytes };
}

function decodeSensor(b: Buffer, type: 0x01 | 0x02): SdrSensor {
  // 43.1 and 43.2: the name is the last field of both.
  const nameAt = type === 0x01 ? 47 : 31;
  needs(b, nameAt + 1, 'a sensor record');
  const units = b.readUInt8(20);
  const percent = (units & PERCENT) !== 0;
  const eventType = b.readUInt8(13) & 0x7f;
  const isFull = type === 0x01;
  return {
    owner: b.readUInt8(5),
    lun: b.readUInt8(6) & 0x03,
    number: b.readUInt8(7),
    sensorType: b.readUInt8(12),
    eventType,
    unit: percent ? '%' : (UNITS[b.readUInt8(21)] ?? ''),
    name: decodeName(b, nameAt),
    conversion: isFull ? decodeConversion(b) : undefined,
    thresholds: isFull ? decodeThresholds(b) : {},
  };
}

/** 43.15: type in the upper 2 bits, length in the lower 5. */
function decodeName(b: Buffer, at: number): string {
  const code = b.readUInt8(at);
  const text = b.subarray(at + 1, at + 1 + (code & 0x1f));
  if (text.length !== (code & 0x1f)) throw new IpmiCodecError('a sensor name that ends too early');
  switch (code >> 6) {
    case 1:
      return Array.from(text, (byte) => `${'0123456789 -.:,_'[byte >> 4] ?? ''}${'0123456789 -.:,_'[byte & 15] ?? ''}`)
        .join('')
        .trim();
    case 2:
      return sixBitText(text);
    default:
      return printable(text.toString('latin1'));
  }
}

/** 43.15: four characters in three bytes, from space on. */
function sixBitText(b: Buffer): string {
  let bits = 0n;
  for (let i = b.length - 1; i >= 0; i--) bits = (bits << 8n) | BigInt(b[i] ?? 0);
  const count = Math.floor((b.length * 8) / 6);
  const text = Array.from({ length: count }, (_, i) => String.fromCharCode(0x20 + Number((bits >> BigInt(6 * i)) & 63n)));
  return text.join('').trim();
}

/** It goes to terminals and logs. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\xa0-\xff]/g, ' ').trim();
}

function decodeConversion(b: Buffer): Conversion | undefined {
  const format = (['unsigned', 'onesComplement', 'twosComplement'] as const)[b.readUInt8(20) >> 6];
  // 3: this sensor has no analog reading.
  if (format === undefined) return undefined;
  const tenBits = (low: number, high: number): number => signed(b.readUInt8(low) | ((b.readUInt8(high) & 0xc0) << 2), 10);
  const exponents = b.readUInt8(29);
  return {
    format,
    m: tenBits(24, 25),
    b: tenBits(26, 27),
    rExponent: signed(exponents >> 4, 4),
    bExponent: signed(exponents & 15, 4),
    linearization: b.readUInt8(23) & 0x7f,
  };
}

function decodeThresholds(b: Buffer): Partial<Record<ThresholdName, number>> {
  const readable = b.readUInt8(18);
  // Bits 3:2 of the capabilities: 0, the sensor has no thresholds.
  if (((b.readUInt8(11) >> 2) & 3) === 0) return {};
  return Object.fromEntries(THRESHOLDS.filter(([, bit]) => ((readable >> bit) & 1) === 1).map(([name, , at]) => [name, b.readUInt8(at)]));
}

/** 36.3. Undefined: a linearization that needs more than the record. */
export function convertReading(raw: number, c: Conversion): number | undefined {
  const x = readingValue(raw, c.format);
  // Powers of ten by text are exact where multiplication is not.
  const y = Number(`${c.m * x}e${c.rExponent}`) + Number(`${c.b}e${c.bExponent + c.rExponent}`);
  const value = linearize(y, c.linearization);
  return value === undefined || !Number.isFinite(value) ? undefined : value;
}

function readingValue(raw: number, format: Conversion['format']): number {
  switch (format) {
    case 'unsigned':
      return raw;
    case 'onesComplement':
      return raw >= 0x80 ? raw - 0xff : raw;
    case 'twosComplement':
      return signed(raw, 8);
  }
}

/** Table 43-1, byte 24. */
const LINEARIZATIONS: readonly ((y: number) => number)[] = [
  (y) => y,
  Math.log,
  Math.log10,
  Math.log2,
  Math.exp,
  (y) => 10 ** y,
  (y) => 2 ** y,
  (y) => 1 / y,
  (y) => y * y,
  (y) => y ** 3,
  Math.sqrt,
  Math.cbrt,
];

function linearize(y: number, kind: number): number | undefined {
  return LINEARIZATIONS[kind]?.(y);
}
