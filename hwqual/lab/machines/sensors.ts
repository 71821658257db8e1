// The sensors of a machine's BMC as commands of its simulator (ipmi_sim_cmd(5)), with their SDRs: pure.
// Type 1 (IPMI 2.0, 43.1) for what has a value, type 2 (43.2) for what has states; the fifth byte of a record is the length of the rest,
// and the simulator takes nothing of a record where it is wrong.

const BMC = '0x20';

interface ThresholdSensor {
  number: number;
  name: string;
  /** IPMI 2.0, table 42-3: 1 temperature, 2 voltage, 4 fan. */
  type: number;
  /** Table 43-15: 1 degrees C, 4 volts, 18 RPM. */
  unit: number;
  /** Table 43-13: 3 processor, 7 board, 29 fan. */
  entity: number;
  /** A raw value x is x * multiplier * 10^exponent. */
  multiplier: number;
  exponent: number;
  /** Raw. */
  value: number;
  /** Raw: upper non-recoverable, critical, non-critical, lower non-recoverable, critical, non-critical; null: none. */
  thresholds: readonly [number | null, number | null, number | null, number | null, number | null, number | null];
}

interface StateSensor {
  number: number;
  name: string;
  /** Table 42-3: 8 power supply, 0x0c memory. */
  type: number;
  entity: number;
  instance: number;
  /** Bits of table 42-3 that it can say. */
  states: number;
  /** Bits that are set when all is well. */
  healthy: readonly number[];
}

export const SENSORS = {
  cpuTemperature: {
    number: 1,
    name: 'CPU1 Temp',
    type: 1,
    unit: 1,
    entity: 3,
    multiplier: 1,
    exponent: 0,
    value: 40,
    thresholds: [90, 80, 70, null, null, null],
  },
  fan: {
    number: 2,
    name: 'FAN1',
    type: 4,
    unit: 18,
    entity: 29,
    multiplier: 100,
    exponent: 0,
    value: 80,
    thresholds: [null, null, null, 4, 6, 8],
  },
  voltage: {
    number: 3,
    name: 'P12V',
    type: 2,
    unit: 4,
    entity: 7,
    multiplier: 1,
    exponent: -1,
    value: 120,
    thresholds: [150, 140, 130, 100, 105, 110],
  },
} as const satisfies Record<string, ThresholdSensor>;

export const STATE_SENSORS = {
  psu1: { number: 4, name: 'PSU1 Status', type: 8, entity: 10, instance: 1, states: 0x0f, healthy: [0] },
  psu2: { number: 5, name: 'PSU2 Status', type: 8, entity: 10, instance: 2, states: 0x0f, healthy: [0] },
  memory: { number: 16, name: 'DIMM A1 ECC', type: 0x0c, entity: 32, instance: 1, states: 0x23, healthy: [] },
} as const satisfies Record<string, StateSensor>;

const hex = (byte: number) => `0x${(byte & 0xff).toString(16).padStart(2, '0')}`;
const low = (word: number) => word & 0xff;
const high = (word: number) => (word >> 8) & 0xff;

function record(number: number, type: 1 | 2, body: readonly number[], name: string): string {
  const rest = [...body, 0xc0 | name.length, ...Buffer.from(name, 'latin1')];
  return `main_sdr_add ${BMC} ${[low(number), high(number), 0x51, type, rest.length, ...rest].map(hex).join(' ')}`;
}

function thresholdCommands(s: ThresholdSensor): string[] {
  const bits = s.thresholds.map((t) => (t === null ? '0' : '1')).join('');
  const raw = s.thresholds.map((t) => t ?? 0);
  const [unr, uc, unc, lnr, lc, lnc] = s.thresholds;
  // Readable and settable thresholds, by the order of bits in 43.1 byte 19: lnc, lc, lnr, unc, uc, unr.
  const mask = [lnc, lc, lnr, unc, uc, unr].reduce((sum: number, t, i) => (t === null ? sum : sum | (1 << i)), 0);
  // Events for going over each threshold: lower ones going low (bits 0, 2, 4), upper ones going high (7, 9, 11).
  const events = [0, 2, 4, 7, 9, 11].reduce((sum, bit, i) => (mask & (1 << i) ? sum | (1 << bit) : sum), 0);
  const events15 = events.toString(2).padStart(15, '0');
  const body = [
    ...[0x20, 0, s.number, s.entity, 1, 0x7f, 0x68, s.type, 1],
    ...[low(events), high(events) | (((mask >> 0) & 7) << 4), low(events), high(events) | (((mask >> 3) & 7) << 4), mask, mask],
    ...[0, s.unit, 0, 0, low(s.multiplier), (high(s.multiplier) & 3) << 6, 0, 0, 0, (s.exponent & 15) << 4, 7],
    ...[s.value, s.value, s.value, 0xff, 0, ...raw, 1, 1, 0, 0, 0],
  ];
  return [
    `sensor_add ${BMC} 0 ${s.number} ${s.type} 1`,
    `sensor_set_value ${BMC} 0 ${s.number} ${s.value} 0`,
    `sensor_set_threshold ${BMC} 0 ${s.number} settable ${bits} ${raw.map(hex).join(' ')}`,
    `sensor_set_hysteresis ${BMC} 0 ${s.number} settable 1 1`,
    `sensor_set_event_support ${BMC} 0 ${s.number} enable scanning per-state ${[events15, events15, events15, events15].join(' ')}`,
    record(s.number, 1, body, s.name),
  ];
}

function stateCommands(s: StateSensor): string[] {
  const states = s.states.toString(2).padStart(15, '0');
  const mask = [low(s.states), high(s.states)];
  const body = [
    ...[0x20, 0, s.number, s.entity, s.instance, 0x67, 0x40, s.type, 0x6f],
    // No value, only states (bits 7 and 6 of the units); one sensor per record.
    ...[...mask, ...mask, ...mask, 0xc0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
  ];
  return [
    `sensor_add ${BMC} 0 ${s.number} ${s.type} 0x6f`,
    `sensor_set_event_support ${BMC} 0 ${s.number} enable scanning per-state ${[states, states, states, states].join(' ')}`,
    ...s.healthy.map((bit) => `sensor_set_bit ${BMC} 0 ${s.number} ${bit} 1 0`),
    record(s.number, 2, body, s.name),
  ];
}

/** Everything but `mc_enable`, which comes last. */
export function bmcEmulation(firmware: { major: number; minor: number }): string[] {
  return [
    `mc_setbmc ${BMC}`,
    `mc_add ${BMC} 0 no-device-sdrs 0x23 ${firmware.major} ${firmware.minor} 0x9f 0x1291 0xf02 persist_sdr`,
    `sel_enable ${BMC} 1000 0x0a`,
    ...Object.values(SENSORS).flatMap(thresholdCommands),
    ...Object.values(STATE_SENSORS).flatMap(stateCommands),
  ];
}
