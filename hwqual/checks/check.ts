// What a check is: two servers in, items out. An item has both values, a verdict, and the rule by which it was reached. Pure.
import type { Inventory } from '../../drivers/inventory/index.ts';

/**
 * identical: all that affects how a guest executes must be the same. sameFamily: processors of one family with the same features; board,
 * firmware and parts may differ, and it is shown as such.
 */
export type Policy = 'identical' | 'sameFamily';

/** One server, as it is compared: what it is made of, and what the appliance uses of it for what. */
export interface Facts {
  coServer: 'A' | 'B';
  inventory: Inventory;
  /** The appliance's version, and its engine's. */
  version: string;
  engine: string;
  /** NICs by role: the links in their order, then business and management. */
  nics: { role: string; nic: string }[];
  /** Of the guest: what both servers must have room for. */
  guestMemoryBytes: number;
  guestDiskBytes: number;
  /** The whole disk that holds the guest's: "/dev/sda". Null: not known, or more than one. */
  disk: string | null;
}

/** compatible: they differ, and it does not matter (by this policy). unknown never passes. */
export type ItemVerdict = 'identical' | 'compatible' | 'refused' | 'unknown';

export interface Item {
  /** The check it came from, and what was compared: "cpu.microcode". */
  id: string;
  title: string;
  a: string;
  b: string;
  verdict: ItemVerdict;
  /** Why, in one sentence. */
  rule: string;
}

export interface Check {
  id: string;
  title: string;
  /** Why two servers are compared in this. */
  purpose: string;
  /** Where the values come from. */
  requires: string;
  run(a: Facts, b: Facts, policy: Policy): Item[];
}

export type Value = string | number | boolean | null | undefined;

export interface Compared {
  id: string;
  title: string;
  a: Value;
  b: Value;
  /** What a difference is under each policy. */
  otherwise: Record<Policy, 'refused' | 'compatible'>;
  /** What a difference would do. */
  rule: string;
}

/** Must be the same whatever the policy. */
export const ALWAYS = { identical: 'refused', sameFamily: 'refused' } as const;
/** Must be the same in a pair of identical servers. */
export const IDENTICAL = { identical: 'refused', sameFamily: 'compatible' } as const;
/** May differ. */
export const NEVER = { identical: 'compatible', sameFamily: 'compatible' } as const;

/** Both values, and what follows. What one side does not know is unknown, also where a difference would not matter. */
export function same({ id, title, a, b, otherwise, rule }: Compared, policy: Policy): Item {
  const item = { id, title, a: show(a), b: show(b), rule };
  if (isUnknown(a) || isUnknown(b)) return { ...item, verdict: 'unknown', rule: `What is not known does not pass. ${rule}` };
  return { ...item, verdict: a === b ? 'identical' : otherwise[policy] };
}

type Known = Exclude<Value, null | undefined>;

export interface Demanded extends Pick<Compared, 'id' | 'title' | 'a' | 'b' | 'rule'> {
  holds: (v: Known) => boolean;
  /** How a value is shown; left out: as it is. */
  shown?: (v: Known) => string;
}

/** Each side must have it by itself: "virtualization usable". */
export function must({ id, title, a, b, holds, shown, rule }: Demanded): Item {
  const display = (v: Value): string => (shown && v !== null && v !== undefined && v !== '' ? shown(v) : show(v));
  const item = { id, title, a: display(a), b: display(b), rule };
  if (isUnknown(a) || isUnknown(b)) return { ...item, verdict: 'unknown', rule: `What is not known does not pass. ${rule}` };
  const isWell = [a, b].every((v) => v !== null && v !== undefined && holds(v));
  return { ...item, verdict: isWell ? (a === b ? 'identical' : 'compatible') : 'refused' };
}

function isUnknown(v: Value): boolean {
  return v === null || v === undefined || v === '' || Number.isNaN(v);
}

function show(v: Value): string {
  if (isUnknown(v)) return 'not known';
  if (v === true) return 'yes';
  return v === false ? 'no' : String(v);
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** "62.5 GiB": where the exact size does not matter. */
export const roughly = (v: string | number | boolean): string => {
  const [amount, unit] = Number(v) >= 1 << 30 ? [Number(v) / (1 << 30), 'GiB'] : [Number(v) / (1 << 20), 'MiB'];
  return `${Number(amount.toFixed(1))} ${unit}`;
};

/** "64 GiB", exact: two sizes that differ are shown differently. Null stays null. */
export function bytes(v: number | null): string | null {
  if (v === null) return null;
  let unit = 0;
  let amount = v;
  while (amount >= 1024 && amount % 1024 === 0 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${amount} ${UNITS[unit] ?? ''}`;
}
