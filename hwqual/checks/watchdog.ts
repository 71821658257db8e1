// The hardware's watchdog: it ends a server that hangs while nobody can reach it.
import { type Check, IDENTICAL, same } from './check.ts';

export const watchdog: Check = {
  id: 'watchdog',
  title: 'Watchdog',
  purpose: 'A server that hangs must be ended by something that does not: at level 2 the partner counts on its time.',
  requires: '/sys/class/watchdog',
  run: (a, b, policy) => {
    const name = (f: typeof a): string | null => f.inventory.watchdogs.map((w) => w.identity ?? w.device).join(', ') || null;
    return [
      same(
        {
          id: 'watchdog.identity',
          title: 'Watchdog',
          a: name(a),
          b: name(b),
          otherwise: IDENTICAL,
          rule: 'Each has one, of the same kind.',
        },
        policy,
      ),
    ];
  },
};
