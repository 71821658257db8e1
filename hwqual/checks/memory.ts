// Memory: enough of it for the guest, as much on both, corrected by hardware.
import { bytes, type Check, IDENTICAL, must, NEVER, roughly, same } from './check.ts';

/** The appliance itself, its engine, and what travels between both. */
const OWN_BYTES = 1 << 30;

export const memory: Check = {
  id: 'memory',
  title: 'Memory',
  purpose: 'The guest must fit on either server, and a bit that flips must be noticed.',
  requires: 'SMBIOS types 16 and 17, /proc/meminfo',
  run: (a, b, policy) => {
    const [x, y] = [a.inventory.memory, b.inventory.memory];
    const speed = (m: typeof x): string | null => kinds(m.dimms.map((d) => d.configuredMtPerS ?? d.speedMtPerS));
    const parts = (m: typeof x): string | null => kinds(m.dimms.map((d) => d.partNumber));
    const needed = Math.max(a.guestMemoryBytes, b.guestMemoryBytes) + OWN_BYTES;
    return [
      same(
        {
          id: 'memory.installed',
          title: 'Memory installed',
          a: bytes(x.installedBytes),
          b: bytes(y.installedBytes),
          otherwise: IDENTICAL,
          rule: 'Identical servers have as much.',
        },
        policy,
      ),
      must({
        id: 'memory.enough',
        title: 'Memory usable',
        a: x.totalBytes,
        b: y.totalBytes,
        holds: (v) => Number(v) >= needed,
        shown: roughly,
        rule: `The guest and the appliance need ${bytes(needed) ?? ''} on each.`,
      }),
      must({
        id: 'memory.ecc',
        title: 'Memory corrects errors (ECC)',
        a: x.ecc,
        b: y.ecc,
        holds: (v) => v === true,
        rule: 'Without it a flipped bit is neither corrected nor noticed.',
      }),
      same(
        {
          id: 'memory.speed',
          title: 'Speed of the memory, MT/s',
          a: speed(x),
          b: speed(y),
          otherwise: IDENTICAL,
          rule: 'Identical servers run their memory at one speed.',
        },
        policy,
      ),
      same(
        {
          id: 'memory.parts',
          title: 'Modules of memory',
          a: parts(x),
          b: parts(y),
          otherwise: NEVER,
          rule: 'Modules of other makers are as good.',
        },
        policy,
      ),
    ];
  },
};

/** Null: there is no module, or one does not tell. */
function kinds(values: readonly (string | number | null)[]): string | null {
  if (values.includes(null)) return null;
  return [...new Set(values.map(String))].sort().join(', ') || null;
}
