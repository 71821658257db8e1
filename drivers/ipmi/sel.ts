// The system event log (IPMI 2.0, 31.2, 31.5, 32): its head and its entries. Pure.
import { needs } from './messages.ts';

export interface SelInfo {
  /** "1.5". */
  version: string;
  entries: number;
  freeBytes: number;
  /** Seconds since 1970, by the BMC's clock; below 0x20000000 since the BMC started (37.1). */
  lastAddS: number;
  lastEraseS: number;
  /** Events were lost for want of room. */
  overflow: boolean;
}

export interface SelEntry {
  id: number;
  /** 2: an event; C0h to DFh: a maker's with time; E0h and above: a maker's without. */
  recordType: number;
  /** Undefined: the record has none, or the BMC did not know. */
  timeS: number | undefined;
  /** Of records of type 2. */
  event: SelEvent | undefined;
  /** The 16 bytes as they came. */
  bytes: Buffer;
}

export interface SelEvent {
  /** I2C address or software id of what made the event. */
  generator: number;
  /** Table 42-3: 1 temperature, 4 fan, 8 power supply, 0Ch memory ... */
  sensorType: number;
  sensor: number;
  deasserted: boolean;
  /** Table 42-1: 1 threshold, 6Fh specific to the sensor's type. */
  eventType: number;
  /** Offset in the low 4 bits of the first byte. */
  data: readonly [number, number, number];
}

const TIME_UNKNOWN = 0xffffffff;
const EVENT_RECORD = 0x02;

/** 31.2. */
export function decodeSelInfo(d: Buffer): SelInfo {
  needs(d, 14, 'a SEL info');
  const version = d.readUInt8(0);
  return {
    version: `${version & 0x0f}.${version >> 4}`,
    entries: d.readUInt16LE(1),
    freeBytes: d.readUInt16LE(3),
    lastAddS: d.readUInt32LE(5),
    lastEraseS: d.readUInt32LE(9),
    overflow: (d.readUInt8(13) & 0x80) !== 0,
  };
}

/** 31.5: the id of the next record, then the record. */
export function decodeSelEntry(d: Buffer): { nextId: number; entry: SelEntry } {
  needs(d, 18, 'a SEL entry');
  const bytes = Buffer.from(d.subarray(2, 18));
  const recordType = bytes.readUInt8(2);
  const timeS = bytes.readUInt32LE(3);
  const hasTime = recordType < 0xe0 && timeS !== TIME_UNKNOWN;
  const event = recordType === EVENT_RECORD ? decodeEvent(bytes) : undefined;
  return { nextId: d.readUInt16LE(0), entry: { id: bytes.readUInt16LE(0), recordType, timeS: hasTime ? timeS : undefined, event, bytes } };
}

/** 32.1. */
function decodeEvent(b: Buffer): SelEvent {
  return {
    generator: b.readUInt16LE(7),
    sensorType: b.readUInt8(10),
    sensor: b.readUInt8(11),
    deasserted: (b.readUInt8(12) & 0x80) !== 0,
    eventType: b.readUInt8(12) & 0x7f,
    data: [b.readUInt8(13), b.readUInt8(14), b.readUInt8(15)],
  };
}
