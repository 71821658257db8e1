// The appliance itself and its engine: memory of a guest is understood only by the version that wrote it.
import { ALWAYS, type Check, NEVER, same } from './check.ts';

export const versions: Check = {
  id: 'versions',
  title: 'Software',
  purpose: 'What one engine writes the other one reads.',
  requires: 'the configuration and the program itself',
  run: (a, b, policy) => [
    same(
      {
        id: 'versions.engine',
        title: 'Engine',
        a: a.engine,
        b: b.engine,
        otherwise: ALWAYS,
        rule: 'Lockstep needs the same engine on both.',
      },
      policy,
    ),
    // Whether two versions run together is declared by them (row 29).
    same(
      {
        id: 'versions.appliance',
        title: 'Twinstep',
        a: a.version,
        b: b.version,
        otherwise: NEVER,
        rule: 'Versions that are declared to fit may differ while one is updated.',
      },
      policy,
    ),
    same(
      {
        id: 'versions.kernel',
        title: 'Kernel',
        a: a.inventory.kernel.release,
        b: b.inventory.kernel.release,
        otherwise: NEVER,
        rule: 'It comes with the image.',
      },
      policy,
    ),
  ],
};
