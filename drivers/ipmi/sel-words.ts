// An entry of the event log in words: what happened, where, how bad it reads (IPMI 2.0, 32, 42). Pure.
//
// The entry names a sensor by number; its record, where there is one, gives the name and turns bytes into values.
import { SENSOR_TYPE, sensorTypeName, stateWords } from './event-words.ts';
import { convertReading, type SdrSensor } from './sdr.ts';
import type { SelEntry, SelEvent } from './sel.ts';
import { uniqueNames } from './sensors.ts';

export type SelWhat =
  | 'memoryCorrected'
  | 'memoryUncorrected'
  | 'memoryLogFull'
  | 'processorError'
  | 'processorThermalTrip'
  | 'powerSupplyFailed'
  | 'powerSupplyInputLost'
  | 'powerSupplyPredictive'
  | 'fan'
  | 'temperature'
  | 'voltage'
  | 'driveFault'
  | 'drivePredictive'
  | 'pcieFatal'
  | 'pcieCorrected'
  | 'watchdog'
  | 'logCleared'
  | 'other';

export interface SelReading {
  id: number;
  /** Unix seconds by the BMC's clock; null: it did not know. */
  timeS: number | null;
  what: SelWhat;
  /** False: the condition ended. */
  asserted: boolean;
  /** "DIMM A1", "PSU 2": the sensor's name, and the module of memory where the entry tells it in the standard's way. */
  where: string;
  /** The entry in words, for the evidence. */
  text: string;
}

/** 37.1: a smaller time is one since the BMC started, before somebody set its clock. */
const FIRST_REAL_TIME_S = 0x20000000;
const SENSOR_SPECIFIC = 0x6f;
const THRESHOLD = 0x01;

/** What the offsets of event type 6Fh are, by sensor type. */
const SPECIFIC: Record<number, readonly SelWhat[]> = {
  [SENSOR_TYPE.processor]: [
    ...['processorError', 'processorThermalTrip', 'processorError', 'processorError', 'processorError', 'other'],
    ...['processorError', 'other', 'other', 'other', 'other', 'processorError', 'other'],
  ] as SelWhat[],
  [SENSOR_TYPE.powerSupply]: [
    ...['other', 'powerSupplyFailed', 'powerSupplyPredictive', 'powerSupplyInputLost', 'powerSupplyInputLost'],
    ...['powerSupplyInputLost', 'other', 'other'],
  ] as SelWhat[],
  [SENSOR_TYPE.powerUnit]: [
    ...['other', 'other', 'powerSupplyFailed', 'other', 'powerSupplyInputLost', 'powerSupplyFailed'],
    ...['powerSupplyFailed', 'powerSupplyPredictive'],
  ] as SelWhat[],
  [SENSOR_TYPE.memory]: [
    ...['memoryCorrected', 'memoryUncorrected', 'memoryUncorrected', 'memoryUncorrected', 'other', 'memoryLogFull'],
    ...['other', 'other', 'other', 'other', 'other'],
  ] as SelWhat[],
  [SENSOR_TYPE.driveSlot]: ['other', 'driveFault', 'drivePredictive', 'other', 'other', 'other', 'driveFault'],
  [SENSOR_TYPE.eventLogging]: ['memoryLogFull', 'other', 'logCleared'],
  [SENSOR_TYPE.watchdog1]: ['watchdog', 'watchdog', 'watchdog', 'watchdog', 'watchdog', 'watchdog', 'watchdog', 'watchdog'],
  [SENSOR_TYPE.criticalInterrupt]: [
    ...['other', 'other', 'other', 'other', 'pcieFatal', 'pcieFatal', 'other', 'pcieCorrected'],
    ...['pcieFatal', 'other', 'pcieFatal', 'other'],
  ] as SelWhat[],
  [SENSOR_TYPE.watchdog2]: ['watchdog', 'watchdog', 'watchdog', 'watchdog', 'other', 'other', 'other', 'other', 'watchdog'],
};

/** Of all other event types: by what the sensor measures. */
const BY_SENSOR_TYPE: Record<number, SelWhat> = {
  [SENSOR_TYPE.temperature]: 'temperature',
  [SENSOR_TYPE.voltage]: 'voltage',
  [SENSOR_TYPE.fan]: 'fan',
  [SENSOR_TYPE.coolingDevice]: 'fan',
};
const PREDICTIVE_FAILURE = 0x04;

function whatOf(event: SelEvent): SelWhat {
  const offset = event.data[0] & 0x0f;
  if (event.eventType === SENSOR_SPECIFIC) return SPECIFIC[event.sensorType]?.[offset] ?? 'other';
  const measured = BY_SENSOR_TYPE[event.sensorType];
  if (event.eventType === PREDICTIVE_FAILURE && offset === 1) {
    if (event.sensorType === SENSOR_TYPE.powerSupply) return 'powerSupplyPredictive';
    if (event.sensorType === SENSOR_TYPE.driveSlot) return 'drivePredictive';
  }
  if (measured === undefined) return 'other';
  // A fan that was plugged in, a device that was enabled: nothing is wrong with it.
  if (event.eventType === THRESHOLD) return measured;
  return stateWords(event.eventType, event.sensorType, offset).level === 'ok' ? 'other' : measured;
}

/** Finds the sensor of an event. Several controllers may use the same number: owner and LUN tell them apart. */
export class SensorNames {
  readonly #found = new Map<string, { sensor: SdrSensor; name: string }>();

  constructor(sensors: readonly SdrSensor[]) {
    const names = uniqueNames(sensors);
    for (const [i, sensor] of sensors.entries()) {
      const key = keyOf(sensor.owner, sensor.lun, sensor.number);
      if (!this.#found.has(key)) this.#found.set(key, { sensor, name: names[i] ?? sensor.name });
    }
  }

  find(event: SelEvent): { sensor: SdrSensor; name: string } | undefined {
    return this.#found.get(keyOf(event.generator & 0xff, (event.generator >> 8) & 0x03, event.sensor));
  }
}

function keyOf(owner: number, lun: number, number: number): string {
  return `${owner}.${lun}.${number}`;
}

export function selReading(entry: SelEntry, sensors: SensorNames): SelReading {
  const { id, event } = entry;
  const timeS = entry.timeS !== undefined && entry.timeS >= FIRST_REAL_TIME_S ? entry.timeS : null;
  if (event === undefined) {
    const type = `0x${entry.recordType.toString(16).padStart(2, '0')}`;
    return {
      id,
      timeS,
      what: 'other',
      asserted: true,
      where: '',
      text: `A maker's own entry of type ${type}: ${entry.bytes.toString('hex')}`,
    };
  }
  const known = sensors.find(event);
  // A record of another type under this number was changed since, or is nonsense: its name and values are not this event's.
  const same = known !== undefined && known.sensor.sensorType === event.sensorType ? known : undefined;
  const name = same?.name ?? `${sensorTypeName(event.sensorType)} (sensor 0x${event.sensor.toString(16).padStart(2, '0')})`;
  const module = moduleOf(event);
  const where = module === undefined ? name : `${name}, module ${module}`;
  const words = stateWords(event.eventType, event.sensorType, event.data[0] & 0x0f).text;
  const details = detailsOf(event, same?.sensor);
  const text = `${where}: ${words}${details === '' ? '' : `, ${details}`}${event.deasserted ? ' (ended)' : ''}`;
  return { id, timeS, what: whatOf(event), asserted: !event.deasserted, where, text };
}

/** What the third byte of a memory event is: bits 5:4 of the first say 3 where it follows the standard. */
function moduleOf(event: SelEvent): number | undefined {
  const [first, , third] = event.data;
  const isStandard = event.sensorType === SENSOR_TYPE.memory && event.eventType === SENSOR_SPECIFIC && ((first >> 4) & 3) === 3;
  return isStandard && third !== 0xff ? third : undefined;
}

/** 29.7: bits 7:6 and 5:4 of the first byte say what the other two are: of a threshold event, the reading and the threshold. */
function detailsOf(event: SelEvent, sensor: SdrSensor | undefined): string {
  const [first, second, third] = event.data;
  if (event.eventType === THRESHOLD) {
    const parts: string[] = [];
    if (first >> 6 === 1) parts.push(`at ${valueText(second, sensor)}`);
    if (((first >> 4) & 3) === 1) parts.push(`threshold ${valueText(third, sensor)}`);
    return parts.join(', ');
  }
  if (event.eventType === SENSOR_SPECIFIC && event.sensorType === SENSOR_TYPE.watchdog2 && first >> 6 === 3) {
    const use = ['', 'BIOS FRB2', 'BIOS/POST', 'OS load', 'SMS/OS', 'OEM'][second & 0x0f];
    return use === undefined || use === '' ? '' : `timer of ${use}`;
  }
  const given = [first >> 6 === 0 ? undefined : second, ((first >> 4) & 3) === 0 ? undefined : third];
  if (given.every((byte) => byte === undefined || byte === 0xff)) return '';
  return `bytes ${given.map((byte) => (byte === undefined ? '--' : byte.toString(16).padStart(2, '0'))).join(' ')}`;
}

function valueText(raw: number, sensor: SdrSensor | undefined): string {
  const value = sensor?.conversion === undefined ? undefined : convertReading(raw, sensor.conversion);
  if (value === undefined) return `raw 0x${raw.toString(16).padStart(2, '0')}`;
  return `${Number(value.toPrecision(6))}${sensor?.unit ? ` ${sensor.unit}` : ''}`;
}
