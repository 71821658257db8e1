// Microcode: it changes instructions after the processor was sold.
import { type Check, IDENTICAL, same } from './check.ts';

export const microcode: Check = {
  id: 'microcode',
  title: 'Microcode',
  purpose: 'An update may take instructions away or change how they end.',
  requires: '/proc/cpuinfo, after the early update from the image',
  run: (a, b, policy) => [
    same(
      {
        id: 'cpu.microcode',
        title: 'Microcode',
        a: a.inventory.cpu.microcode,
        b: b.inventory.cpu.microcode,
        otherwise: IDENTICAL,
        rule: 'Both run the same microcode: run the same BIOS and the same image on both.',
      },
      policy,
    ),
  ],
};
