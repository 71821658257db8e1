// Whether the business NIC has carrier, as the kernel says in /sys/class/net/NIC/carrier.
import { readFileSync } from 'node:fs';

/** False also for a NIC that is administratively down (the kernel answers EINVAL) or gone. */
export function readCarrier(nic: string): boolean {
  try {
    return readFileSync(`/sys/class/net/${nic}/carrier`, 'latin1').startsWith('1');
  } catch {
    return false;
  }
}
