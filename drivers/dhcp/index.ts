// Addresses by DHCP, for ports of a server that has no configuration yet.
export type { DhcpLease } from './codec.ts';
export { type DhcpClient, type DhcpOptions, type RunIp, startDhcp } from './device.ts';
