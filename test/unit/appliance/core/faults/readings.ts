// Readings of a server in good order, to be made worse by tests.
import type { NicReading, Reading, SensorReading, SmartReading } from '../../../../../appliance/core/faults/types.ts';

type Level = SensorReading['level'];

export const sensors = (...list: SensorReading[]): Reading => ({ source: 'sensors', sensors: list });

export function temperature(name: string, value: number, level: Level): SensorReading {
  return { name, kind: 'temperature', value, unit: 'C', level, side: level === 'ok' ? null : 'high', states: [] };
}

export function fan(name: string, value: number, level: Level = 'ok'): SensorReading {
  return { name, kind: 'fan', value, unit: 'RPM', level, side: level === 'ok' ? null : 'low', states: [] };
}

export function discrete(kind: SensorReading['kind'], name: string, ...states: string[]): SensorReading {
  return { name, kind, value: null, unit: '', level: 'ok', side: null, states };
}

export const NIC: NicReading = {
  nic: 'link1',
  role: 'link',
  carrier: true,
  speedMbps: 1000,
  fullDuplex: true,
  frames: 0,
  receiveErrors: 0,
  transmitErrors: 0,
  carrierChanges: 1,
};

export const nics = (...list: NicReading[]): Reading => ({ source: 'nics', nics: list });

export const DISK: SmartReading = {
  disk: '/dev/sda',
  model: 'MODEL',
  serial: 'S1',
  kind: 'ata',
  passed: true,
  temperatureC: 35,
  reallocatedSectors: 0,
  pendingSectors: 0,
  uncorrectedErrors: 0,
  interfaceErrors: 0,
  percentUsed: null,
  availableSparePercent: null,
  spareThresholdPercent: null,
  criticalWarnings: [],
  failingAttributes: [],
  selfTestFailed: false,
  powerOnHours: 1000,
};
