// All checks in the order in which a person wants to read them, and what they say together.
import { bios } from './bios.ts';
import { bmc } from './bmc.ts';
import { board } from './board.ts';
import type { Check, Facts, Item, Policy } from './check.ts';
import { cores } from './cores.ts';
import { cpu } from './cpu.ts';
import { cpuFlags } from './cpu-flags.ts';
import { disks } from './disks.ts';
import { iommu } from './iommu.ts';
import { memory } from './memory.ts';
import { microcode } from './microcode.ts';
import { nics } from './nics.ts';
import { storage } from './storage.ts';
import { tsc } from './tsc.ts';
import { versions } from './versions.ts';
import { virtualization } from './virtualization.ts';
import { watchdog } from './watchdog.ts';

export type { Check, Facts, Item, ItemVerdict, Policy } from './check.ts';

export const CHECKS: readonly Check[] = [
  board,
  bios,
  cpu,
  microcode,
  cpuFlags,
  cores,
  memory,
  nics,
  storage,
  disks,
  bmc,
  watchdog,
  tsc,
  iommu,
  virtualization,
  versions,
];

/** An item that a profile of this machine lets pass although neither server knows it, with the reason. */
export interface Waiver {
  /** "cpu.microcode"; a `*` stands for one part: "nics.*.firmware". */
  item: string;
  reason: string;
  /** Also where it is refused: what no machine of this profile can have. A difference passes then, too. */
  alsoRefused?: true;
}

export interface Comparison {
  policy: Policy;
  items: (Item & { check: string; waived: string | null })[];
  /** passed: nothing is refused or unknown that is not waived. */
  verdict: 'passed' | 'refused' | 'unknown';
  /** One line for the operator: what differs, the first few by name. */
  sentence: string;
  /** The protection levels that stay possible. */
  levels: readonly (1 | 2 | 3)[];
}

const NAMED = 3;

export function compare(a: Facts, b: Facts, policy: Policy, waivers: readonly Waiver[] = []): Comparison {
  const items = CHECKS.flatMap((check) =>
    check.run(a, b, policy).map((item) => ({
      ...item,
      check: check.id,
      waived: waivers.find((w) => covers(w, item))?.reason ?? null,
    })),
  );
  const open = items.filter((i) => i.waived === null);
  const refused = open.filter((i) => i.verdict === 'refused');
  const unknown = open.filter((i) => i.verdict === 'unknown');
  const verdict = refused.length > 0 ? 'refused' : unknown.length > 0 ? 'unknown' : 'passed';
  const names = a.coServer === b.coServer ? (['the first', 'the second'] as const) : ([a.coServer, b.coServer] as const);
  return {
    policy,
    items,
    verdict,
    sentence: sentenceOf(items.length, [...refused, ...unknown], names),
    levels: verdict === 'passed' ? [3, 2, 1] : [2, 1],
  };
}

/** What one server knows and the other does not is a difference, and is not waived by itself. */
function covers({ item: pattern, alsoRefused }: Waiver, { id, verdict, a, b }: Item): boolean {
  if (!(verdict === 'unknown' && a === b) && !(verdict === 'refused' && alsoRefused === true)) return false;
  const [wanted, found] = [pattern.split('.'), id.split('.')];
  return wanted.length === found.length && wanted.every((part, i) => part === '*' || part === found[i]);
}

function sentenceOf(all: number, wrong: readonly Item[], [nameA, nameB]: readonly [string, string]): string {
  if (wrong.length === 0) return `${all} items compared, nothing stands against it`;
  const named = wrong.slice(0, NAMED).map((i) => `${lower(i.title)} (${i.id}): ${i.a} on ${nameA}, ${i.b} on ${nameB}`);
  const more = wrong.length > NAMED ? `; and ${wrong.length - NAMED} more` : '';
  return `${named.join('; ')}${more}`;
}

/** "BIOS" and "ECC" stay as they are. */
function lower(title: string): string {
  return /^[A-Z][a-z ]/.test(title) ? `${title.charAt(0).toLowerCase()}${title.slice(1)}` : title;
}
