// A sensor's record and its answer, put together: value, level, states in words. Pure.
//
// The level of a threshold sensor is the BMC's own: its comparison bits, and where it leaves them out, its thresholds. Others have states,
// each with a level of its own (event-words.ts): the worst one counts.
import { presenceBits, SENSOR_TYPE, type StateLevel, stateWords } from './event-words.ts';
import type { RawReading } from './messages.ts';
import { convertReading, type SdrSensor, THRESHOLD_SENSOR, type ThresholdName } from './sdr.ts';

export type SensorKind = 'temperature' | 'voltage' | 'current' | 'fan' | 'powerSupply' | 'processor' | 'memory' | 'drive' | 'other';

export type SensorLevel = 'ok' | 'nonCritical' | 'critical' | 'nonRecoverable' | 'absent' | 'unavailable';

/** What a sensor says, in words: for a diagnosis, and for people. */
export interface SensorReading {
  /** As the BMC names it: "CPU1 Temp". Unique in a reading: where a BMC uses a name twice, what it measures or its number is added. */
  name: string;
  kind: SensorKind;
  /** In `unit`; null: none, or the sensor is off. */
  value: number | null;
  unit: string;
  /** absent: nothing is plugged in there; unavailable: the BMC does not know now. */
  level: SensorLevel;
  /** Which threshold was crossed. */
  side: 'low' | 'high' | null;
  /** Of discrete sensors, in words: "Presence detected", "Failure detected". */
  states: string[];
}

export interface Sensor {
  name: string;
  number: number;
  lun: number;
  sensorType: number;
  eventType: number;
  entity: number;
  entityInstance: number;
  unit: string;
  /** Undefined: not to be had now, or the sensor has states only. */
  value: number | undefined;
  level: SensorLevel;
  side: 'low' | 'high' | null;
  /** Bits as they came: see RawReading. */
  states: number;
  /** Of sensors with states: the states that it is in, in words. */
  stateTexts: string[];
  thresholds: Partial<Record<ThresholdName, number>>;
}

/** Answers of sensors that are none. `absent`: the BMC has no such sensor now. */
export type SensorAnswer = RawReading | 'absent' | 'unavailable';

/** Bits of the comparison, the worst first: level, side. Its own names of the thresholds. */
const COMPARISONS: readonly (readonly [bit: number, level: StateLevel, side: 'low' | 'high', threshold: ThresholdName])[] = [
  [5, 'nonRecoverable', 'high', 'upperNonRecoverable'],
  [2, 'nonRecoverable', 'low', 'lowerNonRecoverable'],
  [4, 'critical', 'high', 'upperCritical'],
  [1, 'critical', 'low', 'lowerCritical'],
  [3, 'nonCritical', 'high', 'upperNonCritical'],
  [0, 'nonCritical', 'low', 'lowerNonCritical'],
];
const STATE_BITS = 15;
const SEVERITY: readonly StateLevel[] = ['ok', 'nonCritical', 'critical', 'nonRecoverable'];

/** `thresholds`: raw, as the sensor has them now; those of the record when left out. */
export function sensorWith(sdr: SdrSensor, answer: SensorAnswer, thresholds: SdrSensor['thresholds'] = sdr.thresholds): Sensor {
  const reading = typeof answer === 'string' ? { raw: undefined, states: undefined } : answer;
  const isThreshold = sdr.eventType === THRESHOLD_SENSOR;
  const converted = convertThresholds(sdr, thresholds);
  const value =
    isThreshold && reading.raw !== undefined && sdr.conversion !== undefined ? convertReading(reading.raw, sdr.conversion) : undefined;
  const base = {
    ...{ name: sdr.name, number: sdr.number, lun: sdr.lun, sensorType: sdr.sensorType, eventType: sdr.eventType },
    ...{ entity: sdr.entity, entityInstance: sdr.entityInstance, unit: sdr.unit },
    ...{ value, states: reading.states ?? 0, stateTexts: [] as string[], thresholds: converted },
  };
  if (typeof answer === 'string' || reading.raw === undefined) {
    return { ...base, level: answer === 'absent' ? 'absent' : 'unavailable', side: null };
  }
  if (isThreshold) return { ...base, ...compare(reading.states, value, converted) };
  return { ...base, ...discrete(sdr, reading.states ?? 0) };
}

function convertThresholds(sdr: SdrSensor, raw: SdrSensor['thresholds']): Sensor['thresholds'] {
  const found: Sensor['thresholds'] = {};
  if (sdr.conversion === undefined) return found;
  for (const [, , , name] of COMPARISONS) {
    const bytes = raw[name];
    const value = bytes === undefined ? undefined : convertReading(bytes, sdr.conversion);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function compare(bits: number | undefined, value: number | undefined, thresholds: Sensor['thresholds']): Pick<Sensor, 'level' | 'side'> {
  for (const [bit, level, side, name] of COMPARISONS) {
    const threshold = thresholds[name];
    const isCrossed =
      bits !== undefined
        ? ((bits >> bit) & 1) === 1
        : value !== undefined && threshold !== undefined && (side === 'high' ? value >= threshold : value <= threshold);
    if (isCrossed) return { level, side };
  }
  return { level: 'ok', side: null };
}

function discrete(sdr: SdrSensor, bits: number): Pick<Sensor, 'level' | 'side' | 'stateTexts'> {
  const stateTexts: string[] = [];
  let worst = 0;
  for (let bit = 0; bit < STATE_BITS; bit++) {
    if (((bits >> bit) & 1) === 0) continue;
    const { text, level } = stateWords(sdr.eventType, sdr.sensorType, bit);
    stateTexts.push(text);
    worst = Math.max(worst, SEVERITY.indexOf(level));
  }
  const level = worst === 0 && isAbsent(sdr, bits) ? 'absent' : (SEVERITY[worst] ?? 'ok');
  return { level, side: null, stateTexts };
}

function isAbsent(sdr: SdrSensor, bits: number): boolean {
  const presence = presenceBits(sdr.eventType, sdr.sensorType);
  if (presence === undefined) return false;
  const has = (mask: number, bit: number | undefined): boolean => bit !== undefined && ((mask >> bit) & 1) === 1;
  if (has(bits, presence.present)) return false;
  // A sensor that never says "present" does not say "absent" by its silence.
  return has(bits, presence.absent) || (presence.absent === undefined && has(sdr.possibleStates, presence.present));
}

const KINDS: Record<number, SensorKind> = {
  [SENSOR_TYPE.temperature]: 'temperature',
  [SENSOR_TYPE.voltage]: 'voltage',
  [SENSOR_TYPE.current]: 'current',
  [SENSOR_TYPE.fan]: 'fan',
  [SENSOR_TYPE.coolingDevice]: 'fan',
  [SENSOR_TYPE.powerSupply]: 'powerSupply',
  [SENSOR_TYPE.processor]: 'processor',
  [SENSOR_TYPE.memory]: 'memory',
  [SENSOR_TYPE.driveSlot]: 'drive',
};

export function sensorKind(sensorType: number): SensorKind {
  return KINDS[sensorType] ?? 'other';
}

/** Table 43-13, those of which a server has several. */
const ENTITIES: Record<number, string> = {
  3: 'processor',
  4: 'disk',
  7: 'system board',
  8: 'memory module',
  10: 'power supply',
  11: 'add-in card',
  15: 'backplane',
  19: 'power unit',
  20: 'power converter',
  26: 'disk backplane',
  29: 'fan',
  30: 'cooling unit',
  32: 'memory device',
  55: 'air inlet',
  64: 'air inlet',
  65: 'processor',
};

/** "processor 1": which one of its kind the sensor sits at. */
export function entityName(sensor: Pick<Sensor, 'entity' | 'entityInstance'>): string {
  return `${ENTITIES[sensor.entity] ?? `entity ${sensor.entity}`} ${sensor.entityInstance}`;
}

/** Names that are unique: the same sensors get the same names, whatever they read. */
export function uniqueNames(sensors: readonly Pick<Sensor, 'name' | 'number' | 'lun' | 'entity' | 'entityInstance'>[]): string[] {
  const plain = sensors.map((s) => (s.name === '' ? `Sensor 0x${s.number.toString(16).padStart(2, '0')}` : s.name));
  const times = (names: readonly string[]): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  };
  const plainTimes = times(plain);
  const placed = sensors.map((s, i) => (plainTimes.get(plain[i] ?? '') === 1 ? (plain[i] ?? '') : `${plain[i]} (${entityName(s)})`));
  const placedTimes = times(placed);
  const taken = new Set<string>();
  return sensors.map((s, i) => {
    let name = placed[i] ?? '';
    if (placedTimes.get(name) !== 1)
      name = `${plain[i]} (sensor 0x${s.number.toString(16).padStart(2, '0')}${s.lun === 0 ? '' : `, LUN ${s.lun}`})`;
    // Nonsense: one sensor listed twice.
    for (let n = 2; taken.has(name); n++) name = `${placed[i]} #${n}`;
    taken.add(name);
    return name;
  });
}

export function sensorReadings(sensors: readonly Sensor[]): SensorReading[] {
  const names = uniqueNames(sensors);
  return sensors.map((s, i) => ({
    name: names[i] ?? s.name,
    kind: sensorKind(s.sensorType),
    value: s.value ?? null,
    unit: s.unit,
    level: s.level,
    side: s.side,
    states: s.stateTexts,
  }));
}
