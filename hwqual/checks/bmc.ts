// The BMC: by it the partner is switched off, and the hardware is watched.
import { type Check, IDENTICAL, same } from './check.ts';

export const bmc: Check = {
  id: 'bmc',
  title: 'BMC',
  purpose: 'Without one no partner can be switched off for certain, and nobody sees a fan die.',
  requires: 'IPMI, Get Device ID',
  run: (a, b, policy) => [
    same(
      {
        id: 'bmc.vendor',
        title: 'Maker of the BMC',
        a: a.inventory.bmc.vendor,
        b: b.inventory.bmc.vendor,
        otherwise: IDENTICAL,
        rule: 'Identical servers have the same BMC.',
      },
      policy,
    ),
    same(
      {
        id: 'bmc.firmware',
        title: 'Firmware of the BMC',
        a: a.inventory.bmc.firmware,
        b: b.inventory.bmc.firmware,
        otherwise: IDENTICAL,
        rule: 'Both run the same firmware: update the older one.',
      },
      policy,
    ),
  ],
};
