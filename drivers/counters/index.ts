export { decodeDiskstats, decodeNic } from './codec.ts';
export { type CountersOptions, type NicsRead, readDisks, readNics } from './device.ts';
export { CountersError, type DiskLatencyReading, type NicReading } from './types.ts';
