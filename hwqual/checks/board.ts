// The board: what all else sits on.
import { type Check, IDENTICAL, same } from './check.ts';

export const board: Check = {
  id: 'board',
  title: 'Board',
  purpose: 'Boards of another make have other clocks, other devices, and other errors.',
  requires: 'SMBIOS types 1 and 2',
  run: (a, b, policy) => [
    same(
      {
        id: 'board.systemVendor',
        title: 'Maker of the server',
        a: a.inventory.system.vendor,
        b: b.inventory.system.vendor,
        otherwise: IDENTICAL,
        rule: 'Identical servers are of one make.',
      },
      policy,
    ),
    same(
      {
        id: 'board.systemProduct',
        title: 'Model of the server',
        a: a.inventory.system.product,
        b: b.inventory.system.product,
        otherwise: IDENTICAL,
        rule: 'Identical servers are of one model.',
      },
      policy,
    ),
    same(
      {
        id: 'board.vendor',
        title: 'Maker of the board',
        a: a.inventory.board.vendor,
        b: b.inventory.board.vendor,
        otherwise: IDENTICAL,
        rule: 'Identical servers have boards of one make.',
      },
      policy,
    ),
    same(
      {
        id: 'board.product',
        title: 'Model of the board',
        a: a.inventory.board.product,
        b: b.inventory.board.product,
        otherwise: IDENTICAL,
        rule: 'Identical servers have boards of one model.',
      },
      policy,
    ),
  ],
};
