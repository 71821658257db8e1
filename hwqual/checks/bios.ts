// The firmware: it sets up processor, memory and devices before anything of ours runs.
import { type Check, IDENTICAL, same } from './check.ts';

export const bios: Check = {
  id: 'bios',
  title: 'BIOS',
  purpose: 'Another BIOS sets processors up in another way and brings other microcode.',
  requires: 'SMBIOS type 0',
  run: (a, b, policy) => [
    same(
      {
        id: 'bios.vendor',
        title: 'Maker of the BIOS',
        a: a.inventory.bios.vendor,
        b: b.inventory.bios.vendor,
        otherwise: IDENTICAL,
        rule: 'Both run the same BIOS.',
      },
      policy,
    ),
    same(
      {
        id: 'bios.version',
        title: 'Version of the BIOS',
        a: a.inventory.bios.version,
        b: b.inventory.bios.version,
        otherwise: IDENTICAL,
        rule: 'Both run the same BIOS: update the older one.',
      },
      policy,
    ),
    same(
      {
        id: 'bios.date',
        title: 'Date of the BIOS',
        a: a.inventory.bios.date,
        b: b.inventory.bios.date,
        otherwise: IDENTICAL,
        rule: 'Both run the same BIOS.',
      },
      policy,
    ),
  ],
};
