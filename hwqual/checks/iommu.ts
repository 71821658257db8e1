// The IOMMU: a card that goes mad must not write where it likes.
import { type Check, IDENTICAL, must, same } from './check.ts';

export const iommu: Check = {
  id: 'iommu',
  title: 'IOMMU',
  purpose: 'It keeps a broken card from writing into the memory of others.',
  requires: '/sys/class/iommu',
  run: (a, b, policy) => {
    const [x, y] = [a.inventory.iommu.units, b.inventory.iommu.units];
    return [
      must({
        id: 'iommu.on',
        title: 'IOMMU switched on',
        a: x === null ? null : x > 0,
        b: y === null ? null : y > 0,
        holds: (v) => v === true,
        rule: 'Switched on in both (BIOS: VT-d).',
      }),
      same(
        { id: 'iommu.units', title: 'Units of the IOMMU', a: x, b: y, otherwise: IDENTICAL, rule: 'Identical servers have as many.' },
        policy,
      ),
    ];
  },
};
