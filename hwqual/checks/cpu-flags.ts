// The processors' features, one by one: the guest uses what it was shown at its start.
import type { Check, Item } from './check.ts';

/** Named in a report; the rest is counted. */
const NAMED = 12;

export const cpuFlags: Check = {
  id: 'cpu-flags',
  title: 'Features of the processors',
  purpose: 'A guest that was shown a feature uses it: the other server must have it too.',
  requires: '/proc/cpuinfo',
  run: (a, b): Item[] => {
    const [x, y] = [a.inventory.cpu.flags, b.inventory.cpu.flags];
    const item = { id: 'cpu.flags', title: 'Features of the processors' };
    const rule = 'Both have exactly the same features, whatever the policy: they are not masked.';
    if (!x || !y) {
      const show = (flags: string[] | null) => (flags ? `${flags.length}` : 'not known');
      return [{ ...item, a: show(x), b: show(y), verdict: 'unknown', rule: `What is not known does not pass. ${rule}` }];
    }
    const isSame = x.length === y.length && x.every((f) => y.includes(f));
    const only = (these: string[], those: string[]): string => {
      const missing = these.filter((f) => !those.includes(f));
      const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : '';
      return missing.length === 0 ? `${these.length}` : `${these.length}, only here: ${missing.slice(0, NAMED).join(' ')}${more}`;
    };
    const [shownA, shownB] = [only(x, y), only(y, x)];
    return [{ ...item, a: shownA, b: shownB, verdict: isSame ? 'identical' : 'refused', rule }];
  },
};
