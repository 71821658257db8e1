// A server as it is compared, whole: every value known, nothing against it.

import { FakeMachine, type FakeMachineKnobs } from '../../../../drivers/inventory/fake.ts';
import { readInventory } from '../../../../drivers/inventory/index.ts';
import type { Facts } from '../../../../hwqual/checks/index.ts';

export async function wholeFacts(coServer: 'A' | 'B' = 'A', knobs: FakeMachineKnobs = {}): Promise<Facts> {
  const machine = new FakeMachine(knobs);
  try {
    const driver = { driver: 'igb', version: '6.12.48', firmware: '1.63, 0x80000a05', bus: null };
    const inventory = await readInventory({
      root: machine.root,
      kvmUsable: true,
      bmc: { vendor: 'IANA 674', product: '256', firmware: '7.10' },
      nicDrivers: new Map(['link1', 'link2'].map((nic) => [nic, driver])),
    });
    return {
      coServer,
      inventory,
      version: '1.0.0',
      engine: 'QEMU 11.1.3',
      nics: [
        { role: 'link1', nic: 'link1' },
        { role: 'link2', nic: 'link2' },
      ],
      guestMemoryBytes: 2 ** 32,
      guestDiskBytes: 2 ** 30,
      disk: '/dev/nvme0n1',
    };
  } finally {
    machine.close();
  }
}
