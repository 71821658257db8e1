// The disks that hold the guest's copies: size, blocks, and whether "written" means written.
import type { DiskInventory } from '../../drivers/inventory/index.ts';
import { bytes, type Check, type Facts, IDENTICAL, must, NEVER, roughly, same } from './check.ts';

export const disks: Check = {
  id: 'disks',
  title: 'Disks',
  purpose: 'Either copy must hold the whole disk of the guest, and know when it is durable.',
  requires: '/sys/block',
  run: (a, b, policy) => {
    const [x, y] = [diskOf(a), diskOf(b)];
    const needed = Math.max(a.guestDiskBytes, b.guestDiskBytes);
    return [
      same(
        {
          id: 'disks.count',
          title: 'Number of disks',
          a: a.inventory.disks.length,
          b: b.inventory.disks.length,
          otherwise: IDENTICAL,
          rule: 'Identical servers have as many.',
        },
        policy,
      ),
      same(
        {
          id: 'disks.size',
          title: 'Size of the disk that is mirrored',
          a: bytes(x?.sizeBytes ?? null),
          b: bytes(y?.sizeBytes ?? null),
          otherwise: IDENTICAL,
          rule: 'Identical servers have disks of one size; the guest gets the smaller one.',
        },
        policy,
      ),
      must({
        id: 'disks.enough',
        title: 'Room for the disk of the guest',
        a: x?.sizeBytes,
        b: y?.sizeBytes,
        holds: (v) => Number(v) >= needed,
        shown: roughly,
        rule: `The guest's disk has ${bytes(needed) ?? ''}.`,
      }),
      same(
        {
          id: 'disks.block',
          title: 'Logical block of the disk, bytes',
          a: x?.logicalBlockBytes,
          b: y?.logicalBlockBytes,
          otherwise: IDENTICAL,
          rule: 'Identical servers have one block size; the guest sees the larger one.',
        },
        policy,
      ),
      same(
        {
          id: 'disks.cache',
          title: 'Write cache of the disk',
          a: x?.writeCache,
          b: y?.writeCache,
          otherwise: IDENTICAL,
          rule: 'Both have one, or neither: burn-in finds out whether a flush is honest.',
        },
        policy,
      ),
      same(
        {
          id: 'disks.model',
          title: 'Model of the disk',
          a: x?.model,
          b: y?.model,
          otherwise: NEVER,
          rule: 'Disks of other makers are as good, and do not fail on the same day.',
        },
        policy,
      ),
      same(
        {
          id: 'disks.firmware',
          title: 'Firmware of the disk',
          a: x?.firmware,
          b: y?.firmware,
          otherwise: NEVER,
          rule: 'Disks of other makers are as good.',
        },
        policy,
      ),
    ];
  },
};

function diskOf(facts: Facts): DiskInventory | undefined {
  return facts.inventory.disks.find((d) => d.name === facts.disk);
}
