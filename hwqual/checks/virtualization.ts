// Virtualization, and that it really works: the device may be there and start no guest.
import { ALWAYS, type Check, must, same } from './check.ts';

export const virtualization: Check = {
  id: 'virtualization',
  title: 'Virtualization',
  purpose: 'The guest runs on it.',
  requires: '/proc/cpuinfo, /dev/kvm, and a tiny guest that is started',
  run: (a, b, policy) => {
    const [x, y] = [a.inventory.virtualization, b.inventory.virtualization];
    return [
      same(
        {
          id: 'virtualization.extension',
          title: 'Virtualization of the processors',
          a: x.extension,
          b: y.extension,
          otherwise: ALWAYS,
          rule: 'Both have the same one.',
        },
        policy,
      ),
      must({
        id: 'virtualization.usable',
        title: 'Virtualization starts a guest',
        a: x.usable,
        b: y.usable,
        holds: (v) => v === true,
        rule: 'Switched on in both (BIOS: VT-x), and a guest was really started.',
      }),
    ];
  },
};
