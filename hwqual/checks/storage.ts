// What the disks hang on.
import type { ControllerInventory } from '../../drivers/inventory/index.ts';
import { type Check, IDENTICAL, same } from './check.ts';

export const storage: Check = {
  id: 'storage',
  title: 'Storage controllers',
  purpose: 'Another controller has other latencies, another cache, other ways to fail.',
  requires: 'PCI identities of class 01',
  run: (a, b, policy) => [
    same(
      {
        id: 'storage.controllers',
        title: 'Storage controllers',
        a: listOf(a.inventory.storageControllers),
        b: listOf(b.inventory.storageControllers),
        otherwise: IDENTICAL,
        rule: 'Identical servers have the same controllers.',
      },
      policy,
    ),
  ],
};

function listOf(controllers: readonly ControllerInventory[]): string | null {
  if (controllers.some((c) => !c.pci.vendor || !c.pci.device)) return null;
  return (
    controllers
      .map((c) => `${c.pci.vendor}:${c.pci.device} (${c.driver ?? 'no driver'})`)
      .sort()
      .join(', ') || 'none'
  );
}
