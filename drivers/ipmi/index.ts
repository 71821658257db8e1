// IPMI 2.0 over LAN: a BMC is asked, and a server switched off for certain. README.md says what is where.
export { type IpmiSession, openIpmi, type Sensor } from './client.ts';
export type { ChassisAction, ChassisStatus, DeviceId, SensorReading } from './messages.ts';
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
export { type CipherSuite, IpmiCodecError, IpmiError, type IpmiOptions, type IpmiReason } from './types.ts';
