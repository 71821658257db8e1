// The comparison, as the running appliance uses it: facts read, parsed, judged by the policy of the configuration and the profile of the
// machines, and what has changed since the last time.
import type { CoServerConfig } from '../../appliance/config.ts';
import type { QualificationItemView } from '../../appliance/core/snapshot.ts';
import { type Comparison, compare, type Facts, type ItemVerdict, type Policy } from '../checks/index.ts';
import { profileOf } from '../profiles/index.ts';
import { parseFacts } from './facts-codec.ts';
import { type FactSources, REAL_SOURCES, readFacts } from './read-facts.ts';

export interface ServerQualifier {
  read(signal: AbortSignal): Promise<Facts>;
  parse(value: unknown): Facts;
  compare(a: Facts, b: Facts): Pick<Comparison, 'verdict' | 'sentence'> & { items: QualificationItemView[] };
  changes(before: Facts, now: Facts): string[];
  settle(before: Facts, now: Facts): Facts;
}

/** Null: the policy is none, and nothing is read. */
export function qualifierFor(config: CoServerConfig, version: string, sources: FactSources = REAL_SOURCES): ServerQualifier | null {
  const { policy } = config.qualification;
  if (policy === 'none') return null;
  return {
    read: (signal) => readFacts(config, version, sources, signal),
    parse: parseFacts,
    compare: (a, b) => {
      const { verdict, sentence, items } = compareByProfile(a, b, policy);
      return { verdict, sentence, items: shown(items) };
    },
    changes: changesOf,
    settle: settleRates,
  };
}

const WORST_FIRST: readonly ItemVerdict[] = ['refused', 'unknown', 'compatible', 'identical'];

/** As the consoles show them: what stands against it first, then what differs. */
function shown(items: Comparison['items']): QualificationItemView[] {
  const rank = (i: Comparison['items'][number]): number => (i.waived === null ? WORST_FIRST.indexOf(i.verdict) : WORST_FIRST.length);
  return [...items]
    .sort((x, y) => rank(x) - rank(y))
    .map(({ title, verdict, a, b, rule, waived }) => ({ item: title, verdict, a, b, rule: waived === null ? rule : `Waived: ${waived}` }));
}

/** With what the profile of these machines waives, where both are of one. */
export function compareByProfile(a: Facts, b: Facts, policy: Policy): Comparison {
  return compare(a, b, policy, profileOf(a, b)?.waive ?? []);
}

/** Rates come and go with the carrier; what the kernel leaves of the memory differs a little at each boot. Neither is a change of the server. */
const CHANGES_BY_ITSELF = /^nics\..*\.rate$|\.enough$/;

/** "Version of the BIOS 2.19.1 -> 2.20.0", in the order of the checks. */
export function changesOf(before: Facts, now: Facts): string[] {
  return compare(before, now, 'identical')
    .items.filter((i) => i.a !== i.b && !CHANGES_BY_ITSELF.test(i.id))
    .map((i) => `${i.title} ${i.a} -> ${i.b}`);
}

/** A port without a carrier has no rate: it keeps that of the same port (place and address) until it has one again. */
export function settleRates(before: Facts, now: Facts): Facts {
  const nics = now.inventory.nics.map((nic) => {
    if (nic.speedMbps !== null) return nic;
    const known = before.inventory.nics.find((n) => n.name === nic.name && n.mac === nic.mac && n.bus === nic.bus);
    return known ? { ...nic, speedMbps: known.speedMbps } : nic;
  });
  return { ...now, inventory: { ...now.inventory, nics } };
}
