// The network ports, role by role: model, driver, firmware, rate.
import type { NicInventory } from '../../drivers/inventory/index.ts';
import { ALWAYS, type Check, type Facts, IDENTICAL, type Item, must, same } from './check.ts';

/** The links carry every write and every checkpoint. */
const LINK_MBPS = 1000;

export const nics: Check = {
  id: 'nics',
  title: 'Network ports',
  purpose: 'Two links of a gigabit carry the pair; ports of one model and firmware fail and behave alike.',
  requires: 'ethtool (driver, firmware), /sys/class/net, PCI identities',
  run: (a, b, policy) => [
    same(
      {
        id: 'nics.roles',
        title: 'Roles of the network ports',
        a: rolesOf(a),
        b: rolesOf(b),
        otherwise: ALWAYS,
        rule: 'Both use ports for the same roles.',
      },
      policy,
    ),
    ...rolesOfBoth(a, b).flatMap((role): Item[] => {
      const [x, y] = [nicFor(a, role), nicFor(b, role)];
      const items = [
        same(
          {
            id: `nics.${role}.model`,
            title: `${role}: model`,
            a: modelOf(x),
            b: modelOf(y),
            otherwise: IDENTICAL,
            rule: 'Identical servers have the same ports in the same roles.',
          },
          policy,
        ),
        same(
          {
            id: `nics.${role}.driver`,
            title: `${role}: driver`,
            a: x?.driver,
            b: y?.driver,
            otherwise: IDENTICAL,
            rule: 'Identical servers have the same ports in the same roles.',
          },
          policy,
        ),
        same(
          {
            id: `nics.${role}.firmware`,
            title: `${role}: firmware`,
            a: x?.firmware,
            b: y?.firmware,
            otherwise: IDENTICAL,
            rule: 'Ports of one model run one firmware: update the older one.',
          },
          policy,
        ),
      ];
      if (!role.startsWith('link')) return items;
      const rate = { id: `nics.${role}.rate`, title: `${role}: rate, Mbit/s`, a: x?.speedMbps, b: y?.speedMbps };
      return [...items, must({ ...rate, holds: (v) => Number(v) >= LINK_MBPS, rule: 'A link has a carrier, and a gigabit at least.' })];
    }),
  ],
};

function nicFor(facts: Facts, role: string): NicInventory | undefined {
  const name = facts.nics.find((n) => n.role === role)?.nic;
  return facts.inventory.nics.find((n) => n.name === name);
}

/** Of either: a role that only one has is compared too, and is unknown on the other. */
function rolesOfBoth(a: Facts, b: Facts): string[] {
  return [...new Set([...a.nics, ...b.nics].map((n) => n.role))].sort((x, y) => rank(x) - rank(y) || (x < y ? -1 : 1));
}

/** Links first. */
function rank(role: string): number {
  return role.startsWith('link') ? 0 : 1;
}

function rolesOf(facts: Facts): string {
  return facts.nics.map((n) => n.role).join(', ') || 'none';
}

function modelOf(nic: NicInventory | undefined): string | null {
  const pci = nic?.pci;
  return pci?.vendor && pci.device ? `${pci.vendor}:${pci.device}` : null;
}
