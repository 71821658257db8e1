// How many processors there are: replicas that run at unequal speed drift apart, and wait for each other at every checkpoint.
import { type Check, IDENTICAL, same } from './check.ts';

export const cores: Check = {
  id: 'cores',
  title: 'Cores and threads',
  purpose: 'Unequal speed costs checkpoints, and the smaller server may not carry the guest alone.',
  requires: '/proc/cpuinfo',
  run: (a, b, policy) => {
    const [x, y] = [a.inventory.cpu, b.inventory.cpu];
    return [
      same(
        { id: 'cpu.sockets', title: 'Sockets', a: x.sockets, b: y.sockets, otherwise: IDENTICAL, rule: 'Identical servers have as many.' },
        policy,
      ),
      same(
        { id: 'cpu.cores', title: 'Cores', a: x.cores, b: y.cores, otherwise: IDENTICAL, rule: 'Identical servers have as many.' },
        policy,
      ),
      same(
        {
          id: 'cpu.smt',
          title: 'Two threads a core',
          a: x.smt,
          b: y.smt,
          otherwise: IDENTICAL,
          rule: 'On in both, or off in both (BIOS).',
        },
        policy,
      ),
      same(
        { id: 'cpu.threads', title: 'Threads', a: x.threads, b: y.threads, otherwise: IDENTICAL, rule: 'Identical servers have as many.' },
        policy,
      ),
    ];
  },
};
