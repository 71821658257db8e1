// Sensor data records (IPMI 2.0, 33.12, 43): what sensors there are, and what their raw readings mean (36.3). Pure.
//
// Record head: id(2) version type length, then `length` bytes. Offsets below are the specification's minus 1.
import { needs } from './messages.ts';
import { decodeText } from './text.ts';
import { IpmiCodecError } from './types.ts';

export const SDR_HEAD_BYTES = 5;

export interface SdrRecord {
  id: number;
  /** 01h full sensor, 02h compact sensor, 03h sensor with events only, 11h FRU locator, 12h controller locator, C0h a maker's ... */
  type: number;
  /** Of types 01h to 03h. A record for several sensors: the first one; `sharedSensors` gives all. */
  sensor: SdrSensor | undefined;
  /** Of type 11h. */
  fru: SdrFru | undefined;
  /** What is wrong with it, where it could not be decoded: no sensor, no FRU then. */
  problem: string | undefined;
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
  /** Table 43-13: what is measured: 3 a processor, 10 a power supply; and which one of them. */
  entity: number;
  entityInstance: number;
  /** It can be asked; others (type 03h) only make events. */
  readable: boolean;
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
  /** Of others than threshold sensors: the states that it can be in, one bit each. */
  possibleStates: number;
  share: Share | undefined;
}

/** 43.2: one record describes `count` sensors, whose numbers follow each other and whose names end in a number or letter. */
interface Share {
  count: number;
  letters: boolean;
  offset: number;
  entityGrows: boolean;
}

/** 43.8. */
export interface SdrFru {
  /** What Read FRU Data is asked with. */
  device: number;
  name: string;
  /** False: an EEPROM behind the BMC, which only it could read. */
  logical: boolean;
  /** I2C address of the controller that has it; the BMC is 20h. */
  owner: number;
  lun: number;
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
  const sensor = isSensorType(type) ? decodeSensor(bytes, type) : undefined;
  const fru = type === FRU_LOCATOR ? decodeFruLocator(bytes) : undefined;
  return { id: b.readUInt16LE(0), type, sensor, fru, problem: undefined, bytes };
}

const [FULL, COMPACT, EVENT_ONLY, FRU_LOCATOR] = [0x01, 0x02, 0x03, 0x11];
type SensorRecordType = 0x01 | 0x02 | 0x03;

function isSensorType(type: number): type is SensorRecordType {
  return type === FULL || type === COMPACT || type === EVENT_ONLY;
}

/** 43.1 to 43.3: the name is the last field of each; where the sensor's type is, and from where several may share the record. */
const LAYOUT: Record<SensorRecordType, { nameAt: number; typeAt: number; shareAt: number | undefined }> = {
  1: { nameAt: 47, typeAt: 12, shareAt: undefined },
  2: { nameAt: 31, typeAt: 12, shareAt: 23 },
  3: { nameAt: 16, typeAt: 10, shareAt: 12 },
};

function decodeSensor(b: Buffer, type: SensorRecordType): SdrSensor {
  const { nameAt, typeAt, shareAt } = LAYOUT[type];
  needs(b, nameAt + 1, 'a sensor record');
  const eventType = b.readUInt8(typeAt + 1) & 0x7f;
  return {
    owner: b.readUInt8(5),
    lun: b.readUInt8(6) & 0x03,
    number: b.readUInt8(7),
    entity: b.readUInt8(8),
    entityInstance: b.readUInt8(9) & 0x7f,
    readable: type !== EVENT_ONLY,
    sensorType: b.readUInt8(typeAt),
    eventType,
    unit: type === EVENT_ONLY ? '' : decodeUnit(b),
    name: decodeName(b, nameAt),
    conversion: type === FULL ? decodeConversion(b) : undefined,
    thresholds: type === FULL ? decodeThresholds(b) : {},
    possibleStates: type === EVENT_ONLY || eventType === THRESHOLD_SENSOR ? 0 : b.readUInt16LE(18) & 0x7fff,
    share: shareAt === undefined ? undefined : decodeShare(b, shareAt),
  };
}

/** Table 42-1. */
export const THRESHOLD_SENSOR = 0x01;

function decodeUnit(b: Buffer): string {
  return (b.readUInt8(20) & PERCENT) !== 0 ? '%' : (UNITS[b.readUInt8(21)] ?? '');
}

function decodeShare(b: Buffer, at: number): Share | undefined {
  const [first, second] = [b.readUInt8(at), b.readUInt8(at + 1)];
  const count = first & 0x0f;
  if (count < 2) return undefined;
  return { count, letters: ((first >> 4) & 3) === 1, offset: second & 0x7f, entityGrows: (second & 0x80) !== 0 };
}

/** The sensors of a record, each with its own number and name. */
export function sharedSensors(sensor: SdrSensor): SdrSensor[] {
  const { share } = sensor;
  if (share === undefined) return [sensor];
  const { count, letters, offset, entityGrows } = share;
  return Array.from({ length: Math.min(count, 0x100 - sensor.number) }, (_, i) => ({
    ...sensor,
    number: sensor.number + i,
    name: `${sensor.name}${letters ? String.fromCharCode(0x41 + ((offset + i) % 26)) : offset + i}`,
    entityInstance: entityGrows ? (sensor.entityInstance + i) & 0x7f : sensor.entityInstance,
    share: undefined,
  }));
}

function decodeFruLocator(b: Buffer): SdrFru {
  needs(b, 16, 'a FRU locator');
  const access = b.readUInt8(7);
  return {
    owner: b.readUInt8(5) & 0xfe,
    device: b.readUInt8(6),
    logical: (access & 0x80) !== 0,
    lun: (access >> 3) & 0x03,
    name: decodeName(b, 15),
  };
}

/** 43.15: type in the upper 2 bits, length in the lower 5. */
function decodeName(b: Buffer, at: number): string {
  const code = b.readUInt8(at);
  const text = b.subarray(at + 1, at + 1 + (code & 0x1f));
  if (text.length !== (code & 0x1f)) throw new IpmiCodecError('a sensor name that ends too early');
  return decodeText(code >> 6, text);
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

/** 35.9: as the sensor has them now. Those that it says that it has. */
export function decodeSensorThresholds(d: Buffer): Partial<Record<ThresholdName, number>> {
  needs(d, 7, "a sensor's thresholds");
  const readable = d.readUInt8(0);
  return Object.fromEntries(
    THRESHOLDS.filter(([, bit]) => ((readable >> bit) & 1) === 1).map(([name, bit]) => [name, d.readUInt8(1 + bit)]),
  );
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
