// What the states of sensors and the events of the log say, in words (IPMI 2.0, tables 42-2 and 42-3). Pure.
//
// In the tables a mark before the text is how bad the state is: ~ non-critical, ! critical, * non-recoverable. A bit of the sensor's states
// and the offset of an event are the same number.

export type StateLevel = 'ok' | 'nonCritical' | 'critical' | 'nonRecoverable';

export interface StateWords {
  text: string;
  level: StateLevel;
}

const MARKS: Record<string, StateLevel> = { '~': 'nonCritical', '!': 'critical', '*': 'nonRecoverable' };

/** Table 42-3. */
export const SENSOR_TYPE = {
  temperature: 0x01,
  voltage: 0x02,
  current: 0x03,
  fan: 0x04,
  processor: 0x07,
  powerSupply: 0x08,
  powerUnit: 0x09,
  coolingDevice: 0x0a,
  memory: 0x0c,
  driveSlot: 0x0d,
  eventLogging: 0x10,
  watchdog1: 0x11,
  criticalInterrupt: 0x13,
  slot: 0x21,
  watchdog2: 0x23,
  entityPresence: 0x25,
  battery: 0x29,
} as const;

const TYPE_NAMES: Record<number, string> = {
  1: 'Temperature',
  2: 'Voltage',
  3: 'Current',
  4: 'Fan',
  5: 'Physical security',
  6: 'Platform security',
  7: 'Processor',
  8: 'Power supply',
  9: 'Power unit',
  10: 'Cooling device',
  11: 'Other units',
  12: 'Memory',
  13: 'Drive slot',
  14: 'POST memory resize',
  15: 'System firmware',
  16: 'Event log',
  17: 'Watchdog 1',
  18: 'System event',
  19: 'Critical interrupt',
  20: 'Button',
  21: 'Module',
  22: 'Microcontroller',
  23: 'Add-in card',
  24: 'Chassis',
  25: 'Chip set',
  26: 'Other FRU',
  27: 'Cable',
  28: 'Terminator',
  29: 'System boot',
  30: 'Boot error',
  31: 'OS boot',
  32: 'OS stop',
  33: 'Slot',
  34: 'ACPI power state',
  35: 'Watchdog',
  36: 'Platform alert',
  37: 'Entity presence',
  38: 'Monitor ASIC',
  39: 'LAN',
  40: 'Management subsystem',
  41: 'Battery',
  42: 'Session audit',
  43: 'Version change',
  44: 'FRU state',
};

export function sensorTypeName(type: number): string {
  return TYPE_NAMES[type] ?? `Sensor type 0x${type.toString(16).padStart(2, '0')}`;
}

/** Event type 6Fh: what a state means depends on the sensor's type. */
const BY_SENSOR_TYPE: Record<number, readonly string[]> = {
  5: ['~General chassis intrusion', '~Drive bay intrusion', '~I/O card area intrusion', '~Processor area intrusion', '~LAN leash lost'],
  7: [
    '!IERR',
    '*Thermal trip',
    '!FRB1/BIST failure',
    '!FRB2/hang in POST',
    '!FRB3/processor startup failure',
    '!Configuration error',
    '!Uncorrectable CPU-complex error',
    'Presence detected',
    '~Processor disabled',
    'Terminator presence detected',
    '~Processor throttled',
    '!Uncorrectable machine check',
    '~Correctable machine check',
  ],
  8: [
    'Presence detected',
    '!Failure detected',
    '~Predictive failure',
    '!Input lost',
    '!Input lost or out of range',
    '~Input out of range, but present',
    '!Configuration error',
    'Inactive (standby)',
  ],
  9: [
    'Power off',
    'Power cycle',
    '!240 VA power down',
    'Interlock power down',
    '~Input lost',
    '!Soft power control failure',
    '!Failure detected',
    '~Predictive failure',
  ],
  12: [
    '~Correctable ECC',
    '!Uncorrectable ECC',
    '!Parity error',
    '!Memory scrub failed',
    '~Memory device disabled',
    '~Correctable ECC logging limit reached',
    'Presence detected',
    '!Configuration error',
    'Spare',
    '~Memory throttled',
    '!Critical overtemperature',
  ],
  13: [
    'Drive present',
    '!Drive fault',
    '~Predictive failure',
    'Hot spare',
    'Consistency check in progress',
    '~In critical array',
    '!In failed array',
    'Rebuild in progress',
    '~Rebuild aborted',
  ],
  16: [
    '~Correctable memory error logging disabled',
    'Event type logging disabled',
    'Log area cleared',
    '~All event logging disabled',
    '~Log full',
    'Log almost full',
    '~Correctable machine check logging disabled',
  ],
  17: ['!BIOS watchdog reset', '!OS watchdog reset', '!OS watchdog shutdown', '!OS watchdog power down', '!OS watchdog power cycle'],
  18: [
    'System reconfigured',
    'OEM boot event',
    '!Undetermined hardware failure',
    'Entry added to auxiliary log',
    'PEF action',
    'Clock set',
  ],
  19: [
    '~Front panel NMI',
    '!Bus timeout',
    '!I/O channel check NMI',
    '~Software NMI',
    '!PCI PERR',
    '!PCI SERR',
    '!EISA fail safe timeout',
    '~Bus correctable error',
    '!Bus uncorrectable error',
    '!Fatal NMI',
    '!Bus fatal error',
    '~Bus degraded',
  ],
  20: ['Power button pressed', 'Sleep button pressed', 'Reset button pressed'],
  25: ['!Soft power control failure', '*Thermal trip'],
  27: ['Cable connected', '!Cable configuration error'],
  30: ['No bootable media', 'Non-bootable diskette', 'PXE server not found', '!Invalid boot sector', 'Waits for a boot source'],
  32: ['!Critical stop while the OS loaded', '!Run-time critical stop', 'OS graceful stop', 'OS graceful shutdown'],
  33: [
    '!Fault status asserted',
    'Identify asserted',
    'Device installed',
    'Ready for installation',
    'Ready for removal',
    'Slot power off',
    'Removal requested',
    'Interlock asserted',
    '~Slot disabled',
    'Spare',
  ],
  35: ['~Timer expired', '!Hard reset', '!Power down', '!Power cycle', '', '', '', '', '~Timer interrupt'],
  37: ['Entity present', 'Entity absent', '~Entity disabled'],
  39: ['~LAN heartbeat lost', 'LAN heartbeat'],
  40: [
    '~Sensor access degraded',
    '~Controller access degraded',
    '!Management controller off-line',
    '!Management controller unavailable',
    '!Sensor failure',
    '!FRU failure',
  ],
  41: ['~Battery low', '!Battery failed', 'Battery presence detected'],
  44: ['Not installed', 'Inactive', 'Activation requested', 'Activation in progress', 'Active', '', '', '~Communication lost'],
};

/** Event types 02h to 0Ch. */
const BY_EVENT_TYPE: Record<number, readonly string[]> = {
  2: ['Idle', 'Active', 'Busy'],
  3: ['State deasserted', 'State asserted'],
  4: ['Predictive failure deasserted', '~Predictive failure asserted'],
  5: ['Limit not exceeded', '!Limit exceeded'],
  6: ['Performance met', '~Performance lags'],
  7: [
    'OK',
    '~Non-critical from OK',
    '!Critical from less severe',
    '*Non-recoverable from less severe',
    '~Non-critical from more severe',
    '!Critical from non-recoverable',
    '*Non-recoverable',
    'Monitor',
    'Informational',
  ],
  8: ['Device absent', 'Device present'],
  9: ['Device disabled', 'Device enabled'],
  10: ['Running', 'In test', 'Power off', 'On line', 'Off line', 'Off duty', '~Degraded', 'Power save', '!Install error'],
  11: [
    'Fully redundant',
    '~Redundancy lost',
    '~Redundancy degraded',
    '~Not redundant, sufficient resources',
    '~Not redundant, sufficient resources again',
    '!Not redundant, insufficient resources',
    '~Redundancy degraded from full',
    '~Redundancy degraded from none',
  ],
  12: ['D0', 'D1', 'D2', 'D3'],
};

const THRESHOLD_EVENT = 0x01;
const SENSOR_SPECIFIC = 0x6f;
const SIDES = ['Lower', 'Upper'] as const;
const DEGREES = [
  ['non-critical', 'nonCritical'],
  ['critical', 'critical'],
  ['non-recoverable', 'nonRecoverable'],
] as const;

/** Offsets 0 to 11 of a threshold event: side, degree, direction. */
function thresholdWords(offset: number): StateWords | undefined {
  const [side, degree] = [SIDES[Math.floor(offset / 6)], DEGREES[Math.floor(offset / 2) % 3]];
  if (side === undefined || degree === undefined) return undefined;
  return { text: `${side} ${degree[0]} going ${offset % 2 === 0 ? 'low' : 'high'}`, level: degree[1] };
}

/** Of a state (bit) or an event (offset). What the tables do not have is told by its numbers, and is no fault. */
export function stateWords(eventType: number, sensorType: number, offset: number): StateWords {
  const unknown: StateWords = { text: `State ${offset} of event type 0x${eventType.toString(16).padStart(2, '0')}`, level: 'ok' };
  if (eventType === THRESHOLD_EVENT) return thresholdWords(offset) ?? unknown;
  const entry = eventType === SENSOR_SPECIFIC ? BY_SENSOR_TYPE[sensorType]?.[offset] : BY_EVENT_TYPE[eventType]?.[offset];
  if (entry === undefined || entry === '') return unknown;
  const level = MARKS[entry.charAt(0)];
  return level === undefined ? { text: entry, level: 'ok' } : { text: entry.slice(1), level };
}

/** The bits that say that something is plugged in, or that nothing is. Undefined: such sensors do not tell. */
export function presenceBits(eventType: number, sensorType: number): { present?: number; absent?: number } | undefined {
  if (eventType === 0x08) return { present: 1, absent: 0 };
  if (eventType !== SENSOR_SPECIFIC) return undefined;
  switch (sensorType) {
    case SENSOR_TYPE.powerSupply:
    case SENSOR_TYPE.driveSlot:
      return { present: 0 };
    case SENSOR_TYPE.processor:
      return { present: 7 };
    case SENSOR_TYPE.memory:
      return { present: 6 };
    case SENSOR_TYPE.battery:
    case SENSOR_TYPE.slot:
      return { present: 2 };
    case SENSOR_TYPE.entityPresence:
      return { present: 0, absent: 1 };
    default:
      return undefined;
  }
}
