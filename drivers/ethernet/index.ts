// Ethernet frames on a NIC (AF_PACKET), and what a NIC is. The raw IP socket is in raw-ip.ts.
export * from './codec.ts';
export { PacketSocket, type PacketSocketOptions } from './device.ts';
export {
  carrier,
  disableOffloads,
  interfaceIndex,
  ioctl,
  macAddress,
  mtuBytes,
  type NicDriver,
  nicDriver,
  nicExists,
  setThreadRealtime,
} from './nic.ts';
export { allowedCpus, type Clocks, parseCpuList, readClocks, setThreadCpu } from './this-thread.ts';
export { setTrafficClass } from './traffic-class.ts';
export type { FrameSocket, FrameSocketHandlers, FrameStatistics } from './types.ts';
