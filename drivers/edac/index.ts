export { decodeAer, decodeMemory } from './codec.ts';
export { Edac, type EdacOptions } from './device.ts';
export { type KernelLog, type KernelLogOptions, type KernelNews, openKernelLog, type RecordFile } from './kernel-log.ts';
export { decodeRecord, type HardwareMessage, hardwareMessage, type KernelRecord } from './kmsg.ts';
export { decodeMceStatus, type MceStatus, mceText } from './mce-status.ts';
export {
  type CpuReading,
  type DiskErrorReading,
  EdacError,
  type EdacErrorKind,
  type FileSystemReading,
  type MachineCheckReading,
  type MemoryReading,
  type PcieReading,
} from './types.ts';
