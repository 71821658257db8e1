// Profiles of machines, as data: checked whole when they are loaded, every error named with its file and its key. Pure.
import type { Waiver } from '../checks/index.ts';

export interface Profile {
  id: string;
  title: string;
  /** As SMBIOS type 1 tells it, to the letter. Any of them. */
  match: { systemVendor: string; systemProduct: string }[];
  waive: Waiver[];
  /** For people. */
  notes: string;
}

export class ProfileError extends Error {
  override readonly name = 'ProfileError';
}

/** Shorter is no reason. */
const REASON_MIN_CHARS = 10;
const TEXT_MAX_CHARS = 1_000;
const LIST_MAX = 200;
const ITEM = /^[a-z][a-zA-Z0-9]*(\.([a-zA-Z0-9]+|\*))+$/;

/** @param name Of the file, for the errors. @param items That a comparison can have, `*` for what depends on the configuration. Throws ProfileError. */
export function parseProfile(value: unknown, name: string, items?: readonly string[]): Profile {
  const fail = (at: string, needed: string): never => {
    throw new ProfileError(`${name}: ${at}: ${needed} is needed`);
  };
  const object = (v: unknown, at: string, keys: readonly string[]): Record<string, unknown> => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) return fail(at, `an object with ${keys.join(', ')}`);
    for (const key of Object.keys(v)) if (!keys.includes(key)) throw new ProfileError(`${name}: ${at}.${key}: unknown key`);
    return v as Record<string, unknown>;
  };
  const text = (v: unknown, at: string, least = 1): string =>
    typeof v === 'string' && v.trim().length >= least && v.length <= TEXT_MAX_CHARS ? v : fail(at, `text of at least ${least} characters`);
  const list = (v: unknown, at: string): unknown[] => (Array.isArray(v) && v.length <= LIST_MAX ? v : fail(at, 'a list'));

  const p = object(value, 'the file', ['id', 'title', 'match', 'waive', 'notes']);
  const match = list(p['match'], 'match').map((one, i) => {
    const m = object(one, `match[${i}]`, ['systemVendor', 'systemProduct']);
    return {
      systemVendor: text(m['systemVendor'], `match[${i}].systemVendor`),
      systemProduct: text(m['systemProduct'], `match[${i}].systemProduct`),
    };
  });
  if (match.length === 0) fail('match', 'at least one machine');
  const waive = list(p['waive'], 'waive').map((one, i): Waiver => {
    const w = object(one, `waive[${i}]`, ['item', 'reason', 'alsoRefused']);
    const item = text(w['item'], `waive[${i}].item`);
    if (!ITEM.test(item)) fail(`waive[${i}].item`, "an item such as 'cpu.microcode', or 'nics.*.firmware',");
    if (items && !items.includes(item)) throw new ProfileError(`${name}: waive[${i}].item: nothing is compared under '${item}'`);
    const reason = text(w['reason'], `waive[${i}].reason`, REASON_MIN_CHARS);
    const also = w['alsoRefused'];
    if (also === undefined) return { item, reason };
    return also === true ? { item, reason, alsoRefused: true } : fail(`waive[${i}].alsoRefused`, 'true, or nothing,');
  });
  const id = text(p['id'], 'id');
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id)) fail('id', 'a word like qemu-q35');
  return { id, title: text(p['title'], 'title'), match, waive, notes: text(p['notes'], 'notes') };
}
