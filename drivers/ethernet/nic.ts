// What a NIC is and how it is set, by interface requests to the kernel (netdevice(7), linux/ethtool.h): no files, no programs, so that it
// works in any network namespace.
import { macFromBytes } from './codec.ts';
import { native } from './native.ts';

const SIOCGIFFLAGS = 0x8913;
const SIOCGIFMTU = 0x8921;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFREQ_BYTES = 24;
const ETHTOOL_GLINK = 0x0a;
const LRO_FLAG = 1 << 15;

/** Name, command to read, command to set. Order matters: segmentation depends on checksums. */
const OFFLOADS = [
  { name: 'gro', get: 0x2b, set: 0x2c },
  { name: 'gso', get: 0x23, set: 0x24 },
  { name: 'tso', get: 0x1e, set: 0x1f },
  { name: 'sg', get: 0x18, set: 0x19 },
  { name: 'rx-checksum', get: 0x14, set: 0x15 },
  { name: 'tx-checksum', get: 0x16, set: 0x17 },
] as const;
const ETHTOOL_GFLAGS = 0x25;
const ETHTOOL_SFLAGS = 0x26;

function request(nic: string, number: number): Buffer {
  const answer = Buffer.alloc(IFREQ_BYTES);
  native().interfaceRequest(nic, number, answer);
  return answer;
}

/** Throws ENODEV "no such NIC 'lan0'", as all functions here do. */
export function macAddress(nic: string): string {
  return macFromBytes(request(nic, SIOCGIFHWADDR), 2);
}

export function mtuBytes(nic: string): number {
  return request(nic, SIOCGIFMTU).readInt32LE(0);
}

export function interfaceIndex(nic: string): number {
  return request(nic, SIOCGIFINDEX).readInt32LE(0);
}

/** The NIC is up and hears the other end. */
export function carrier(nic: string): boolean {
  try {
    return native().ethtool(nic, ETHTOOL_GLINK, 0) !== 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EOPNOTSUPP') throw error;
    const flags = request(nic, SIOCGIFFLAGS).readUInt16LE(0);
    return (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0;
  }
}

/** Whether the NIC exists in this network namespace. */
export function nicExists(nic: string): boolean {
  try {
    interfaceIndex(nic);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENODEV') return false;
    throw error;
  }
}

export interface NicDriver {
  driver: string | null;
  version: string | null;
  firmware: string | null;
  /** "0000:01:00.0" for a PCI device. */
  bus: string | null;
}

/** struct ethtool_drvinfo: a command, then five strings of 32 bytes, then what is not read here. */
const DRIVER_INFO_BYTES = 196;
const DRIVER_INFO_STRING_BYTES = 32;

/** Who drives the NIC, and its firmware. Null: the driver does not say. Throws EOPNOTSUPP where there is no driver that could (lo). */
export function nicDriver(nic: string): NicDriver {
  const info = Buffer.alloc(DRIVER_INFO_BYTES);
  native().driverInfo(nic, info);
  const text = (index: number): string | null => {
    const at = 4 + index * DRIVER_INFO_STRING_BYTES;
    const said = info.toString('latin1', at, at + DRIVER_INFO_STRING_BYTES).split('\0', 1)[0] ?? '';
    const clean = said.replace(/[^\x20-\x7e]/g, '').trim();
    return clean === '' || clean === 'N/A' ? null : clean;
  };
  return { driver: text(0), version: text(1), firmware: text(2), bus: text(3) };
}

/**
 * Turns off what joins, splits or completes frames in the NIC: the gate needs them as they are on the wire. Answers the names of those that
 * are still on because the NIC cannot change them (empty: all are off).
 */
export function disableOffloads(nic: string): string[] {
  const left: string[] = [];
  const unsupported = (error: unknown): boolean => ['EOPNOTSUPP', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '');
  const read = (command: number): number => {
    try {
      return native().ethtool(nic, command, 0);
    } catch (error) {
      if (!unsupported(error)) throw error;
      return 0; // it does not have it
    }
  };
  const write = (command: number, value: number): void => {
    try {
      native().ethtool(nic, command, value);
    } catch (error) {
      if (!unsupported(error)) throw error;
    }
  };
  for (const offload of OFFLOADS) {
    if (read(offload.get) === 0) continue;
    write(offload.set, 0);
    if (read(offload.get) !== 0) left.push(offload.name);
  }
  const flags = read(ETHTOOL_GFLAGS);
  if ((flags & LRO_FLAG) !== 0) {
    write(ETHTOOL_SFLAGS, flags & ~LRO_FLAG);
    if ((read(ETHTOOL_GFLAGS) & LRO_FLAG) !== 0) left.push('lro');
  }
  return left;
}

/** A device's own request. The buffer is changed in place; answers the call's result. Throws with `code` (ENOTTY...). */
export function ioctl(fd: number, number: number, buffer: Buffer): number {
  return native().ioctl(fd, number, buffer);
}

/** SCHED_FIFO (1-99) for the calling thread only; 0: ordinary. Throws EPERM without CAP_SYS_NICE. Threads it starts do not inherit it. */
export function setThreadRealtime(priority: number): void {
  native().realtime(priority);
}
