// IPMI 2.0: this machine's BMC, or one over LAN, is asked and told; and a server switched off for certain. README.md says what is where.
export { Bmc } from './bmc.ts';
export { type IpmiSession, openIpmi } from './client.ts';
export type { FruBoard, FruChassis, FruProduct } from './fru.ts';
export type { FruInventory } from './inventory.ts';
export { type LocalIpmi, type LocalIpmiOptions, openLocalIpmi } from './local.ts';
export type { ChassisAction, ChassisStatus, DeviceId, RawReading } from './messages.ts';
export {
  PowerOffError,
  type PowerOffEvidence,
  type PowerOffOptions,
  type PowerOffReason,
  type PowerOffStep,
  type PowerReading,
  powerOffVerified,
  readPower,
} from './power.ts';
export type { SdrRecord, SdrSensor } from './sdr.ts';
export type { SelEntry, SelEvent, SelInfo } from './sel.ts';
export type { SelFollower, SelNews } from './sel-log.ts';
export type { SelReading, SelWhat } from './sel-words.ts';
export type { Sensor, SensorKind, SensorLevel, SensorReading } from './sensors.ts';
export {
  type BmcTransport,
  type CipherSuite,
  type CommandAnswer,
  type CommandOptions,
  IpmiCodecError,
  IpmiError,
  type IpmiOptions,
  type IpmiReason,
} from './types.ts';
export type { WatchdogAction, WatchdogSetting, WatchdogState, WatchdogUse } from './watchdog-codec.ts';
