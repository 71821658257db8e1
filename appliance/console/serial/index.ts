// The console on a serial line.
export { type SerialConsole, type SerialConsoleOptions, startSerialConsole } from './console.ts';
