// A serial line as a byte stream that outlives its device.
export { openSerialPort, type Port, type SerialLine, type SerialLineOptions } from './line.ts';
