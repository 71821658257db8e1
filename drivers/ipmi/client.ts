// What a BMC can be asked, as methods. Opens the session, keeps it open, closes it.
import { openSession, type Timing } from './handshake.ts';
import {
  BMC_ADDRESS,
  CHASSIS_ACTION,
  type ChassisAction,
  type ChassisStatus,
  COMPLETION,
  type DeviceId,
  decodeChassisStatus,
  decodeDeviceId,
  decodeSensorReading,
  guidText,
  needs,
  type SensorReading,
} from './messages.ts';
import { convertReading, decodeSdr, SDR_HEAD_BYTES, type SdrRecord, type SdrSensor, sdrLength, type ThresholdName } from './sdr.ts';
import { decodeSelEntry, decodeSelInfo, type SelEntry, type SelInfo } from './sel.ts';
import { Session } from './session.ts';
import { PRIVILEGE } from './session-codec.ts';
import { Transport } from './transport.ts';
import { type CipherSuite, IpmiCodecError, IpmiError, type IpmiOptions } from './types.ts';

const PORT = 623;
export const DEFAULT_TIMEOUT_MS = 1000;
const RETRIES = 3;
/** BMCs close a session after 60 s without a word (6.12.15), less 3 s. */
const KEEP_ALIVE_MS = 20_000;
const KEEP_ALIVE_CHECKS = 4;
/** Ids have 16 bits; a BMC that links its records in a circle ends here. */
const MAX_RECORDS = 4096;
const LAST_RECORD = 0xffff;
/** All of an entry (31.5). */
const WHOLE = 0xff;
/** Bytes of an SDR at once: what every BMC can do. */
const SDR_CHUNK_BYTES = 16;
/** A reservation is lost whenever somebody else changes the records. */
const SDR_ATTEMPTS = 5;

export interface Sensor {
  name: string;
  number: number;
  sensorType: number;
  unit: string;
  /** Undefined: not to be had now, or the sensor has states only. */
  value: number | undefined;
  /** Of a threshold sensor. */
  level: 'ok' | 'nonCritical' | 'critical' | 'nonRecoverable' | 'unknown';
  states: number;
  thresholds: Partial<Record<ThresholdName, number>>;
}

export interface IpmiSession {
  /** "the BMC at 10.0.0.1". */
  readonly name: string;
  /** The one that was agreed on. */
  readonly cipherSuite: CipherSuite;
  /** The BMC's, from the handshake. */
  readonly guid: string;
  deviceId(): Promise<DeviceId>;
  chassisStatus(): Promise<ChassisStatus>;
  /** Resolves when the BMC has acknowledged it; whether it did it, `chassisStatus` tells. `cycle` and `reset` are never asked twice. */
  chassisControl(action: ChassisAction): Promise<void>;
  selInfo(): Promise<SelInfo>;
  selEntries(): AsyncGenerator<SelEntry, void, undefined>;
  sdrRecords(): Promise<SdrRecord[]>;
  sensorReading(sensor: number): Promise<SensorReading>;
  /** All sensors of the BMC itself with their values: the SDRs are read once per session. */
  sensors(): Promise<Sensor[]>;
  /** Never rejects; at most one timeoutMs. */
  close(): Promise<void>;
}

/**
 * A session with a BMC over LAN. Throws an IpmiError whose message an operator understands: `unreachable` (after timeoutMs x (retries + 1)),
 * `refused`, `cipherSuite`, `busy`, `aborted`. All methods throw IpmiErrors: rejected, refused, lost, garbled, aborted.
 */
export async function openIpmi(options: IpmiOptions): Promise<IpmiSession> {
  const timing: Timing = { timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, retries: options.retries ?? RETRIES };
  const wanted = options.cipherSuite ?? 'best';
  const suites: CipherSuite[] = wanted === 'best' ? [17, 3] : [wanted];
  const transport = await Transport.open(options.address, options.port ?? PORT, options.localAddress);
  try {
    for (const suite of suites) {
      try {
        const session = new Session(transport, await openSession(transport, options, suite, timing, options.signal), timing);
        const client = new Client(session, options);
        await client.raisePrivilege();
        return client;
      } catch (error) {
        const next = error instanceof IpmiError && error.reason === 'cipherSuite' && suite !== suites.at(-1);
        if (!next) throw error;
      }
    }
    throw new Error('no cipher suite was asked for');
  } catch (error) {
    transport.close();
    throw error;
  }
}

class Client implements IpmiSession {
  readonly name: string;
  readonly cipherSuite: CipherSuite;
  readonly guid: string;
  readonly #session: Session;
  readonly #options: IpmiOptions;
  readonly #keepAlive: NodeJS.Timeout | undefined;
  readonly #abort: () => void;
  #sdrs: SdrRecord[] | undefined;

  constructor(session: Session, options: IpmiOptions) {
    this.#session = session;
    this.#options = options;
    this.name = session.name;
    this.cipherSuite = session.opened.suite;
    this.guid = guidText(session.opened.guid);
    this.#abort = () => this.#end(new IpmiError('aborted', `${this.name}: given up`));
    options.signal?.addEventListener('abort', this.#abort);
    if (options.signal?.aborted) this.#abort();
    const keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
    if (keepAliveMs > 0) this.#keepAlive = setInterval(() => this.#keepOpen(keepAliveMs), keepAliveMs / KEEP_ALIVE_CHECKS).unref();
  }

  /** A session starts as user, whatever was agreed on (22.18). */
  async raisePrivilege(): Promise<void> {
    const privilege = this.#options.privilege ?? 'operator';
    try {
      await this.#session.ask('setSessionPrivilege', [PRIVILEGE[privilege]]);
    } catch (error) {
      await this.close();
      if (error instanceof IpmiError && (error.reason === 'rejected' || error.reason === 'refused'))
        throw new IpmiError('refused', `${this.name} does not let '${this.#options.username}' be ${privilege}`, error.completionCode);
      throw error;
    }
  }

  #keepOpen(keepAliveMs: number): void {
    if (performance.now() - this.#session.lastUsedMs < keepAliveMs) return;
    this.#session.ask('getDeviceId').catch((error: unknown) => {
      if (error instanceof IpmiError && error.reason === 'lost') this.#end(error);
    });
  }

  #end(error: IpmiError): void {
    clearInterval(this.#keepAlive);
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#session.end(error);
  }

  /** Decodes an answer; what cannot be decoded is an error of the BMC's. */
  #read<T>(decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (error instanceof IpmiCodecError) throw new IpmiError('garbled', `${this.name} answered ${error.message}`);
      throw error;
    }
  }

  async deviceId(): Promise<DeviceId> {
    const data = await this.#session.ask('getDeviceId');
    return this.#read(() => decodeDeviceId(data));
  }

  async chassisStatus(): Promise<ChassisStatus> {
    const data = await this.#session.ask('getChassisStatus');
    return this.#read(() => decodeChassisStatus(data));
  }

  async chassisControl(action: ChassisAction): Promise<void> {
    const data = [CHASSIS_ACTION[action]];
    // On and off may be said twice.
    if (action === 'on' || action === 'off') await this.#session.ask('chassisControl', data);
    else await this.#session.ask('chassisControl', data, 0);
  }

  async selInfo(): Promise<SelInfo> {
    const data = await this.#session.ask('getSelInfo');
    return this.#read(() => decodeSelInfo(data));
  }

  async *selEntries(): AsyncGenerator<SelEntry, void, undefined> {
    let id = 0;
    for (let i = 0; i < MAX_RECORDS && id !== LAST_RECORD; i++) {
      let data: Buffer;
      try {
        data = await this.#session.ask('getSelEntry', [0, 0, id & 0xff, id >> 8, 0, WHOLE]);
      } catch (error) {
        // An empty log has no first entry.
        if (id === 0 && error instanceof IpmiError && error.completionCode === COMPLETION.notPresent) return;
        throw error;
      }
      const { nextId, entry } = this.#read(() => decodeSelEntry(data));
      yield entry;
      if (nextId === id) return;
      id = nextId;
    }
  }

  async sdrRecords(): Promise<SdrRecord[]> {
    if (this.#sdrs !== undefined) return this.#sdrs;
    for (let attempt = 1; ; attempt++) {
      try {
        this.#sdrs = await this.#readSdrs();
        return this.#sdrs;
      } catch (error) {
        const again = error instanceof IpmiError && error.completionCode === COMPLETION.reservationLost && attempt < SDR_ATTEMPTS;
        if (!again) throw error;
      }
    }
  }

  async #readSdrs(): Promise<SdrRecord[]> {
    const info = await this.#session.ask('getSdrInfo');
    this.#read(() => needs(info, 3, 'an SDR repository info'));
    if (info.readUInt16LE(1) === 0) return [];
    const reserved = await this.#session.ask('reserveSdr');
    this.#read(() => needs(reserved, 2, 'a reservation'));
    const reservation = reserved.subarray(0, 2);
    const records: SdrRecord[] = [];
    let id = 0;
    while (id !== LAST_RECORD && records.length < MAX_RECORDS) {
      const head = await this.#sdrPart(reservation, id, 0, SDR_HEAD_BYTES);
      const parts = [head.data];
      const length = this.#read(() => sdrLength(head.data));
      for (let at = SDR_HEAD_BYTES; at < length; at += SDR_CHUNK_BYTES)
        parts.push((await this.#sdrPart(reservation, id, at, Math.min(SDR_CHUNK_BYTES, length - at))).data);
      records.push(this.#read(() => decodeSdr(Buffer.concat(parts))));
      if (head.nextId === id) break;
      id = head.nextId;
    }
    return records;
  }

  async #sdrPart(reservation: Buffer, id: number, at: number, length: number): Promise<{ nextId: number; data: Buffer }> {
    const answer = await this.#session.ask('getSdr', [...reservation, id & 0xff, id >> 8, at, length]);
    return this.#read(() => {
      needs(answer, 2 + length, 'a part of an SDR');
      return { nextId: answer.readUInt16LE(0), data: answer.subarray(2, 2 + length) };
    });
  }

  async sensorReading(sensor: number): Promise<SensorReading> {
    const data = await this.#session.ask('getSensorReading', [sensor]);
    return this.#read(() => decodeSensorReading(data));
  }

  async sensors(): Promise<Sensor[]> {
    const found: Sensor[] = [];
    for (const { sensor } of await this.sdrRecords()) {
      // Others' sensors would have to be asked for through their own controllers.
      if (sensor === undefined || sensor.owner !== BMC_ADDRESS || sensor.lun !== 0) continue;
      found.push(sensorWith(sensor, await this.#readingOrNone(sensor.number)));
    }
    return found;
  }

  async #readingOrNone(sensor: number): Promise<SensorReading> {
    try {
      return await this.sensorReading(sensor);
    } catch (error) {
      if (error instanceof IpmiError && error.reason === 'rejected') return { raw: undefined, scanning: false, states: 0 };
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#session.isOver) return;
    const id = Buffer.alloc(4);
    id.writeUInt32LE(this.#session.opened.bmcId);
    // One that does not hear this closes it by itself after a minute.
    await this.#session.ask('closeSession', id, 0).catch(() => undefined);
    this.#end(new IpmiError('lost', `${this.name}: the session is closed`));
  }
}

const THRESHOLD_SENSOR = 0x01;
/** Bits of the states: lower and upper of each level. */
const LEVELS = [
  ['nonRecoverable', 0x24],
  ['critical', 0x12],
  ['nonCritical', 0x09],
] as const;

function sensorWith(sensor: SdrSensor, reading: SensorReading): Sensor {
  const { name, number, sensorType, unit, conversion } = sensor;
  const convert = (raw: number): number | undefined => (conversion === undefined ? undefined : convertReading(raw, conversion));
  const thresholds: Partial<Record<ThresholdName, number>> = {};
  for (const [key, raw] of Object.entries(sensor.thresholds) as [ThresholdName, number][]) {
    const value = convert(raw);
    if (value !== undefined) thresholds[key] = value;
  }
  const known = sensor.eventType === THRESHOLD_SENSOR && reading.raw !== undefined;
  const level = known ? (LEVELS.find(([, bits]) => (reading.states & bits) !== 0)?.[0] ?? 'ok') : 'unknown';
  const value = known && reading.raw !== undefined ? convert(reading.raw) : undefined;
  return { name, number, sensorType, unit, value, level, states: reading.states, thresholds };
}
