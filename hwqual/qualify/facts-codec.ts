// Facts of a server that come from outside, a file or the partner, as JSON: taken field by field. Pure.
import { parseInventory } from '../../drivers/inventory/index.ts';
import type { Facts } from '../checks/index.ts';

/** Links, business and management, and room. */
const ROLES_MAX = 32;
const TEXT_MAX_CHARS = 64;

export class FactsError extends Error {
  override readonly name = 'FactsError';
}

/** Throws FactsError, or the inventory's own error; both name the field. Fields that are not known are left out. */
export function parseFacts(value: unknown): Facts {
  const f = object(value, 'the facts');
  const { coServer } = f;
  if (coServer !== 'A' && coServer !== 'B') return wrong('coServer', coServer, 'A or B');
  const { nics } = f;
  if (!Array.isArray(nics) || nics.length > ROLES_MAX) return wrong('nics', nics, `a list of at most ${ROLES_MAX}`);
  return {
    coServer,
    inventory: parseInventory(f['inventory']),
    version: short(f['version'], 'version'),
    engine: short(f['engine'], 'engine'),
    nics: nics.map((one, i) => {
      const { role, nic } = object(one, `nics[${i}]`);
      return { role: short(role, `nics[${i}].role`), nic: short(nic, `nics[${i}].nic`) };
    }),
    guestMemoryBytes: whole(f['guestMemoryBytes'], 'guestMemoryBytes'),
    guestDiskBytes: whole(f['guestDiskBytes'], 'guestDiskBytes'),
    disk: f['disk'] === null ? null : short(f['disk'], 'disk'),
  };
}

function wrong(name: string, value: unknown, needed: string): never {
  throw new FactsError(
    `${name} is ${value === undefined ? 'missing' : (JSON.stringify(value) ?? 'nothing').slice(0, 40)}: ${needed} is needed`,
  );
}

function object(value: unknown, name: string): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : wrong(name, value, 'an object');
}

function short(value: unknown, name: string): string {
  return typeof value === 'string' && /^[\x20-\x7e]*$/.test(value) && value.length <= TEXT_MAX_CHARS
    ? value
    : wrong(name, value, `text of at most ${TEXT_MAX_CHARS} characters`);
}

function whole(value: unknown, name: string): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : wrong(name, value, 'a whole number');
}
