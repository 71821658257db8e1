// What a BMC can be asked and told, whatever way leads to it: a session over LAN (client.ts) or the kernel's device (local.ts).
import { type FruInventory, readInventories } from './inventory.ts';
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
  type RawReading,
} from './messages.ts';
import { isRejection, Questions } from './questions.ts';
import { decodeSensorThresholds, type SdrRecord, type SdrSensor, sharedSensors, THRESHOLD_SENSOR } from './sdr.ts';
import { readSdrRepository, sdrRepositoryState } from './sdr-repository.ts';
import type { SelEntry, SelInfo } from './sel.ts';
import { readSelInfo, SelFollower, selEntries } from './sel-log.ts';
import { type SelReading, SensorNames, selReading } from './sel-words.ts';
import { type Sensor, type SensorAnswer, type SensorReading, sensorReadings, sensorWith } from './sensors.ts';
import { type BmcTransport, type CommandAnswer, type CommandOptions, IpmiError } from './types.ts';
import { decodeWatchdog, encodeWatchdog, type WatchdogSetting, type WatchdogState } from './watchdog-codec.ts';

/** 27.5: it was not set since the BMC started. */
const WATCHDOG_NOT_SET = 0x80;

/** All methods throw IpmiErrors: rejected, refused, lost, garbled, aborted, busy. */
export class Bmc {
  /** "the BMC at 10.0.0.1", "the BMC of this machine (/dev/ipmi0)". */
  readonly name: string;
  readonly #transport: BmcTransport;
  readonly #questions: Questions;
  #reading: Promise<SdrRecord[]> | undefined;
  #repository: { state: string; records: SdrRecord[] } | undefined;
  /** As the sensors have them, raw; by LUN and number. Gone with the records that they belong to. */
  #thresholds = new Map<string, SdrSensor['thresholds']>();

  constructor(transport: BmcTransport) {
    this.#transport = transport;
    this.#questions = new Questions(transport);
    this.name = transport.name;
  }

  /** Any command, by its numbers: an error of the BMC's is an answer. */
  command(netFn: number, lun: number, command: number, data: Buffer, options?: CommandOptions): Promise<CommandAnswer> {
    return this.#transport.command(netFn, lun, command, data, options);
  }

  async deviceId(options: CommandOptions = {}): Promise<DeviceId> {
    const data = await this.#questions.ask('getDeviceId', [], options);
    return this.#questions.read(() => decodeDeviceId(data));
  }

  async chassisStatus(): Promise<ChassisStatus> {
    const data = await this.#questions.ask('getChassisStatus');
    return this.#questions.read(() => decodeChassisStatus(data));
  }

  /** Resolves when the BMC has acknowledged it; whether it did it, `chassisStatus` tells. `cycle` and `reset` are never asked twice. */
  async chassisControl(action: ChassisAction): Promise<void> {
    const data = [CHASSIS_ACTION[action]];
    // On and off may be said twice.
    if (action === 'on' || action === 'off') await this.#questions.ask('chassisControl', data);
    else await this.#questions.ask('chassisControl', data, { retries: 0 });
  }

  selInfo(): Promise<SelInfo> {
    return readSelInfo(this.#questions);
  }

  selEntries(): AsyncGenerator<SelEntry, void, undefined> {
    return selEntries(this.#questions);
  }

  /** Each has a memory of its own; its first poll gives the whole log. */
  followSel(): SelFollower {
    return new SelFollower(this.#questions);
  }

  /** Entries in words, with the names of this BMC's sensors. */
  async selReadings(entries: readonly SelEntry[]): Promise<SelReading[]> {
    if (entries.length === 0) return [];
    const names = new SensorNames((await this.sdrRecords()).flatMap((r) => (r.sensor === undefined ? [] : sharedSensors(r.sensor))));
    return entries.map((entry) => selReading(entry, names));
  }

  /**
   * Read once, and again when the repository says that it has changed. Who asks meanwhile gets the same reading: two would take the
   * reservation away from each other.
   */
  sdrRecords(): Promise<SdrRecord[]> {
    this.#reading ??= this.#readRecords().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readRecords(): Promise<SdrRecord[]> {
    const state = await sdrRepositoryState(this.#questions);
    if (this.#repository?.state === state) return this.#repository.records;
    const records = await readSdrRepository(this.#questions);
    this.#repository = { state, records };
    this.#thresholds.clear();
    return records;
  }

  async sensorReading(sensor: number, lun = 0): Promise<RawReading> {
    const data = await this.#questions.ask('getSensorReading', [sensor], { lun });
    return this.#questions.read(() => decodeSensorReading(data));
  }

  /** All sensors of the BMC itself with their values. Others' would have to be asked for through their own controllers. */
  async sensors(): Promise<Sensor[]> {
    const found: Sensor[] = [];
    for (const record of await this.sdrRecords()) {
      const { sensor } = record;
      if (sensor === undefined || !sensor.readable || sensor.owner !== BMC_ADDRESS) continue;
      for (const one of sharedSensors(sensor)) {
        const answer = await this.#answerOf(one);
        found.push(sensorWith(one, answer, typeof answer === 'string' ? one.thresholds : await this.#thresholdsOf(one)));
      }
    }
    return found;
  }

  /** The same in words, each under a name of its own. */
  async sensorReadings(): Promise<SensorReading[]> {
    return sensorReadings(await this.sensors());
  }

  async #answerOf(sensor: SdrSensor): Promise<SensorAnswer> {
    try {
      return await this.sensorReading(sensor.number, sensor.lun);
    } catch (error) {
      if (isRejection(error, COMPLETION.notPresent)) return 'absent';
      if (isRejection(error) || (error instanceof IpmiError && error.reason === 'garbled')) return 'unavailable';
      throw error;
    }
  }

  /** An operator may have changed them since the record was written. One that does not tell has those of its record. */
  async #thresholdsOf(sensor: SdrSensor): Promise<SdrSensor['thresholds']> {
    if (sensor.eventType !== THRESHOLD_SENSOR || Object.keys(sensor.thresholds).length === 0) return sensor.thresholds;
    const key = `${sensor.lun}.${sensor.number}`;
    const known = this.#thresholds.get(key);
    if (known !== undefined) return known;
    let thresholds = sensor.thresholds;
    try {
      const data = await this.#questions.ask('getSensorThresholds', [sensor.number], { lun: sensor.lun });
      thresholds = this.#questions.read(() => decodeSensorThresholds(data));
    } catch (error) {
      if (!isRejection(error) && !(error instanceof IpmiError && error.reason === 'garbled')) throw error;
    }
    this.#thresholds.set(key, thresholds);
    return thresholds;
  }

  /** Inventories of the BMC's board and of all parts that it has records of. */
  async inventories(): Promise<FruInventory[]> {
    return readInventories(this.#questions, await this.sdrRecords());
  }

  async watchdog(): Promise<WatchdogState> {
    const data = await this.#questions.ask('getWatchdog');
    return this.#questions.read(() => decodeWatchdog(data));
  }

  /** It stands still until `startWatchdog`, unless it ran and the setting keeps it running. */
  async setWatchdog(setting: WatchdogSetting): Promise<void> {
    await this.#questions.ask('setWatchdog', encodeWatchdog(setting));
  }

  /** Starts it, or starts it again from its whole time. */
  async startWatchdog(): Promise<void> {
    try {
      await this.#questions.ask('resetWatchdog');
    } catch (error) {
      if (!isRejection(error, WATCHDOG_NOT_SET)) throw error;
      throw new IpmiError('rejected', `${this.name} has no watchdog that was set: set it before it is started`, WATCHDOG_NOT_SET);
    }
  }

  /** The setting that stops it has to be a whole one. */
  async stopWatchdog(): Promise<void> {
    await this.setWatchdog({ use: 'smsOs', action: 'none', timeoutMs: 1000 });
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }
}
