// IPMI messages (IPMI 2.0, 13.8): request and response with their checksums, and the commands that this driver uses. Pure.
//
//   rsAddr netFn/rsLUN checksum | rqAddr rqSeq/rqLUN command [completion code] data ... checksum
//
// The network function of a response is that of its request plus one.
import { IpmiCodecError } from './types.ts';

export const BMC_ADDRESS = 0x20;
export const CONSOLE_ADDRESS = 0x81;
/** rqSeq has 6 bits. */
export const REQUEST_SEQUENCES = 64;

/** Network function (table 5-1), then command (appendix G). */
export const COMMAND = {
  getChassisStatus: [0x00, 0x01],
  chassisControl: [0x00, 0x02],
  getSensorThresholds: [0x04, 0x27],
  getSensorReading: [0x04, 0x2d],
  getDeviceId: [0x06, 0x01],
  resetWatchdog: [0x06, 0x22],
  setWatchdog: [0x06, 0x24],
  getWatchdog: [0x06, 0x25],
  getSystemGuid: [0x06, 0x37],
  getChannelAuthentication: [0x06, 0x38],
  setSessionPrivilege: [0x06, 0x3b],
  closeSession: [0x06, 0x3c],
  getFruInfo: [0x0a, 0x10],
  readFru: [0x0a, 0x11],
  getSdrInfo: [0x0a, 0x20],
  reserveSdr: [0x0a, 0x22],
  getSdr: [0x0a, 0x23],
  getSelInfo: [0x0a, 0x40],
  getSelEntry: [0x0a, 0x43],
} as const satisfies Record<string, readonly [number, number]>;

export type CommandName = keyof typeof COMMAND;

/** For messages: "getSelInfo", or its numbers. */
export function commandName(netFn: number, command: number): string {
  const found = (Object.keys(COMMAND) as CommandName[]).find((name) => COMMAND[name][0] === netFn && COMMAND[name][1] === command);
  return found ?? `command 0x${netFn.toString(16)}.0x${command.toString(16)}`;
}

/** IPMI 2.0, table 5-2. */
export const COMPLETION = {
  ok: 0x00,
  busy: 0xc0,
  invalidCommand: 0xc1,
  timeout: 0xc3,
  reservationLost: 0xc5,
  truncated: 0xc7,
  tooLong: 0xc8,
  cannotReturnThatMany: 0xca,
  notPresent: 0xcb,
  invalidField: 0xcc,
  noPrivilege: 0xd4,
  notNow: 0xd5,
  unspecified: 0xff,
} as const;

const COMPLETION_TEXT: Record<number, string> = {
  [COMPLETION.busy]: 'it is busy',
  [COMPLETION.invalidCommand]: 'it does not know this command',
  [COMPLETION.timeout]: 'no response in time',
  [COMPLETION.reservationLost]: 'the reservation was lost',
  [COMPLETION.cannotReturnThatMany]: 'it cannot return that many bytes at once',
  [COMPLETION.notPresent]: 'there is no such sensor, record or data',
  [COMPLETION.invalidField]: 'it does not support this value',
  [COMPLETION.noPrivilege]: 'the user may not do this',
  [COMPLETION.notNow]: 'not in its present state',
  [COMPLETION.unspecified]: 'an error that it does not specify',
};

export function completionText(code: number): string {
  const hex = `0x${code.toString(16).padStart(2, '0')}`;
  const text = COMPLETION_TEXT[code];
  return text === undefined ? `completion code ${hex}` : `${text} (${hex})`;
}

export interface IpmiMessage {
  /** Of the request even; of the response odd. */
  netFn: number;
  /** 0 when left out. */
  lun?: number;
  command: number;
  sequence: number;
  /** Of a response: completion code first. */
  data: Buffer;
}

/** 13.8: the sum of the bytes and their checksum is 0 modulo 256. */
function checksum(b: Buffer): number {
  let sum = 0;
  for (const byte of b) sum += byte;
  return -sum & 0xff;
}

function encode(to: number, from: number, m: IpmiMessage): Buffer {
  const head = Buffer.from([to, (m.netFn << 2) | (m.netFn % 2 === 0 ? (m.lun ?? 0) : 0)]);
  const body = Buffer.concat([Buffer.from([from, m.sequence << 2, m.command]), m.data]);
  return Buffer.concat([head, Buffer.from([checksum(head)]), body, Buffer.from([checksum(body)])]);
}

export function encodeRequest(m: IpmiMessage): Buffer {
  return encode(BMC_ADDRESS, CONSOLE_ADDRESS, m);
}

/** The fake's half. */
export function encodeResponse(m: IpmiMessage, to = CONSOLE_ADDRESS): Buffer {
  return encode(to, BMC_ADDRESS, m);
}

/** Of either direction; which one it is tells `netFn`. */
export function decodeMessage(b: Buffer): IpmiMessage & { from: number } {
  if (b.length < 7) throw new IpmiCodecError(`an IPMI message of ${b.length} bytes`);
  const end = b.length - 1;
  if (checksum(b.subarray(0, 2)) !== b[2] || checksum(b.subarray(3, end)) !== b[end])
    throw new IpmiCodecError('an IPMI message with a wrong checksum');
  const [netFn, from, sequence, command] = [b.readUInt8(1) >> 2, b.readUInt8(3), b.readUInt8(4) >> 2, b.readUInt8(5)];
  if (netFn % 2 === 1 && b.length < 8) throw new IpmiCodecError('a response without completion code');
  return { netFn, from, sequence, command, data: b.subarray(6, end) };
}

/** The bytes at least that an answer must have. */
export function needs(data: Buffer, bytes: number, what: string): void {
  if (data.length < bytes) throw new IpmiCodecError(`${what} of ${data.length} bytes, not ${bytes}`);
}

export interface DeviceId {
  deviceId: number;
  deviceRevision: number;
  /** "9.08": major binary, minor BCD. */
  firmware: string;
  /** "2.0". */
  ipmiVersion: string;
  /** IANA enterprise number. */
  manufacturerId: number;
  productId: number;
  /** False while it updates or starts itself. */
  available: boolean;
}

/** 20.1, without the completion code, as all below. */
export function decodeDeviceId(d: Buffer): DeviceId {
  needs(d, 11, 'a device id');
  const minor = d.readUInt8(3).toString(16).padStart(2, '0');
  return {
    deviceId: d.readUInt8(0),
    deviceRevision: d.readUInt8(1) & 0x0f,
    firmware: `${d.readUInt8(2) & 0x7f}.${minor}`,
    ipmiVersion: `${d.readUInt8(4) & 0x0f}.${d.readUInt8(4) >> 4}`,
    manufacturerId: d.readUIntLE(6, 3) & 0xfffff,
    productId: d.readUInt16LE(9),
    available: (d.readUInt8(2) & 0x80) === 0,
  };
}

export type PowerEvent = 'acFailed' | 'overload' | 'interlock' | 'powerFault' | 'onByCommand';

export interface ChassisStatus {
  on: boolean;
  powerOverload: boolean;
  interlock: boolean;
  powerFault: boolean;
  controlFault: boolean;
  /** What it does when mains power returns. */
  restorePolicy: 'staysOff' | 'asBefore' | 'alwaysOn' | 'unknown';
  lastPowerEvents: PowerEvent[];
  intrusion: boolean;
  frontPanelLockout: boolean;
  driveFault: boolean;
  coolingFault: boolean;
}

const RESTORE_POLICIES = ['staysOff', 'asBefore', 'alwaysOn', 'unknown'] as const;
const POWER_EVENTS: readonly PowerEvent[] = ['acFailed', 'overload', 'interlock', 'powerFault', 'onByCommand'];

/** 28.2. */
export function decodeChassisStatus(d: Buffer): ChassisStatus {
  needs(d, 3, 'a chassis status');
  const [power, last, state] = [d.readUInt8(0), d.readUInt8(1), d.readUInt8(2)];
  const has = (byte: number, bit: number): boolean => ((byte >> bit) & 1) === 1;
  return {
    on: has(power, 0),
    powerOverload: has(power, 1),
    interlock: has(power, 2),
    powerFault: has(power, 3),
    controlFault: has(power, 4),
    restorePolicy: RESTORE_POLICIES[(power >> 5) & 3] ?? 'unknown',
    lastPowerEvents: POWER_EVENTS.filter((_, bit) => has(last, bit)),
    intrusion: has(state, 0),
    frontPanelLockout: has(state, 1),
    driveFault: has(state, 2),
    coolingFault: has(state, 3),
  };
}

export type ChassisAction = 'off' | 'on' | 'cycle' | 'reset';

/** 28.3: off is at once, not by asking the operating system. */
export const CHASSIS_ACTION: Record<ChassisAction, number> = { off: 0, on: 1, cycle: 2, reset: 3 };

/** A sensor's answer before its SDR gives it a meaning. */
export interface RawReading {
  /** As it comes from the converter: sdr.ts makes a value of it. Undefined: not to be had now. */
  raw: number | undefined;
  scanning: boolean;
  /**
   * Threshold sensors: bit 0 to 5: at or below lower non-critical, critical, non-recoverable; at or above upper ones. Others: states.
   * Undefined: left out.
   */
  states: number | undefined;
}

/** 35.14. */
export function decodeSensorReading(d: Buffer): RawReading {
  needs(d, 2, 'a sensor reading');
  const flags = d.readUInt8(1);
  const scanning = (flags & 0x40) !== 0;
  const unavailable = (flags & 0x20) !== 0;
  // The states may be left out, the second byte of them for threshold sensors.
  const states = d.length < 3 ? undefined : d.readUInt8(2) | (((d[3] ?? 0) & 0x7f) << 8);
  return { raw: unavailable || !scanning ? undefined : d.readUInt8(0), scanning, states };
}

/** 8 hex groups as usual for a GUID. IPMI sends its bytes from last to first (20.8); that many BMCs do not is theirs. */
export function guidText(b: Buffer): string {
  const hex = Buffer.from(b).reverse().toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
