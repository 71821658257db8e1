// The business NIC by a packet socket: promiscuous, because the guest's MAC is not the NIC's.
import { disableOffloads, ETHER_TYPE_ALL, PacketSocket } from '../../drivers/ethernet/index.ts';
import type { LanPort } from './lan-port.ts';

/**
 * Frames must be as they are on the wire: the NIC neither joins received ones (GRO, LRO) nor has anything to complete in ours.
 * Throws an Error with `code`: ENODEV "no such NIC 'lan0'", EPERM without CAP_NET_RAW.
 */
export function openEthernetLanPort(nic: string): LanPort {
  const stillOn = disableOffloads(nic);
  let onFrames: (batch: Buffer) => void = () => {};
  let onWritable: () => void = () => {};
  let failure = '';
  const socket = new PacketSocket(
    { nic, etherType: ETHER_TYPE_ALL, promiscuous: true },
    {
      onFrames: (batch) => {
        failure = '';
        onFrames(batch);
      },
      onWritable: () => onWritable(),
      onError: (error) => {
        failure = error.message;
      },
    },
  );
  const problemOf = (oversized: number): string => {
    if (failure) return failure;
    if (stillOn.length > 0) return `NIC '${nic}': the offloads ${stillOn.join(', ')} cannot be turned off`;
    if (oversized > 0)
      return `NIC '${nic}' delivered ${oversized} frames above its MTU: an offload of the NIC or of the sender on the same machine is on`;
    return '';
  };
  return {
    send: (batch) => socket.sendBatch(batch),
    onFrames: (callback) => {
      onFrames = callback;
    },
    onWritable: (callback) => {
      onWritable = callback;
    },
    health: () => {
      const s = socket.statistics();
      return { sendLost: s.sendDropped, receiveLost: s.kernelDropped + s.truncated, problem: problemOf(s.oversized) };
    },
    close: () => socket.close(),
  };
}
