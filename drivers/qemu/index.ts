// The engine, QEMU: its command line, its process, its monitors.
export { DEFAULT_MACHINE, type EngineDescription, engineArguments, GUEST_RAM_BLOCK } from './arguments.ts';
export type { EngineVersion } from './codec.ts';
export { DumpError, type DumpFormat, dumpGuestMemory } from './dump.ts';
export { findGuestMemory, type GuestMemory } from './guest-memory.ts';
export { describeExit, EngineError, type EngineExit, EngineProcess, type EngineStart } from './process.ts';
export * from './protection.ts';
export {
  ANSWER_WITHIN_MS,
  type ExecuteOptions,
  QapiError,
  QmpClient,
  type QmpClientEvents,
  QmpConnectionError,
  type QmpEvent,
  QmpTimeoutError,
} from './qmp-client.ts';
export { checkVersion, EngineVersionError, formatVersion } from './version.ts';
