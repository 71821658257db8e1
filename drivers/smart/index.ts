export { decodeSmart, smartctlArguments } from './codec.ts';
export { Smart, type SmartDisk, type SmartOptions } from './device.ts';
export { SmartError, type SmartErrorKind, type SmartReading } from './types.ts';
