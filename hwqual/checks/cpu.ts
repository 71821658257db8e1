// The processors: what a guest executes on. A guest that moves must find there what it was told is there.
import type { CpuInventory } from '../../drivers/inventory/index.ts';
import { ALWAYS, type Check, IDENTICAL, must, same } from './check.ts';

export const cpu: Check = {
  id: 'cpu',
  title: 'Processors',
  purpose: 'The guest goes on from one to the other in the middle of its work: instructions and their results must be the same.',
  requires: '/proc/cpuinfo',
  run: (a, b, policy) => {
    const [x, y] = [a.inventory.cpu, b.inventory.cpu];
    return [
      same(
        {
          id: 'cpu.vendor',
          title: 'Maker of the processors',
          a: x.vendor,
          b: y.vendor,
          otherwise: ALWAYS,
          rule: 'A guest cannot go on on a processor of another make.',
        },
        policy,
      ),
      same(
        {
          id: 'cpu.family',
          title: 'Family of the processors',
          a: x.family,
          b: y.family,
          otherwise: ALWAYS,
          rule: 'Processors of one family at least.',
        },
        policy,
      ),
      same(
        {
          id: 'cpu.model',
          title: 'Model of the processors',
          a: x.model,
          b: y.model,
          otherwise: IDENTICAL,
          rule: 'Identical servers have the same processors.',
        },
        policy,
      ),
      same(
        {
          id: 'cpu.modelNumber',
          title: 'Model number of the processors',
          a: x.modelNumber,
          b: y.modelNumber,
          otherwise: IDENTICAL,
          rule: 'Identical servers have the same processors.',
        },
        policy,
      ),
      same(
        {
          id: 'cpu.stepping',
          title: 'Stepping of the processors',
          a: x.stepping,
          b: y.stepping,
          otherwise: IDENTICAL,
          rule: 'Identical servers have the same processors.',
        },
        policy,
      ),
      must({
        id: 'cpu.mixed',
        title: 'Processors of one server unlike each other',
        a: mixedOf(x),
        b: mixedOf(y),
        holds: (v) => v === 'none',
        rule: 'All processors of one server are alike.',
      }),
    ];
  },
};

/** Null: the processors could not be read at all. */
function mixedOf(cpu: CpuInventory): string | null {
  if (cpu.threads === null) return null;
  return cpu.mixed.join(', ') || 'none';
}
