// The report on two servers, as data: what was compared, by which rules, what follows. Signed like an inventory; `report-page.ts` shows it.
import type { KeyObject } from 'node:crypto';
import { type Comparison, compare, type Facts, type Policy } from '../checks/index.ts';
import { profileOf } from '../profiles/index.ts';
import type { BurnInSection } from './burn-in-section.ts';
import { type Json, type Signature, signed } from './signed-file.ts';

export const REPORT_KIND = 'twinstep-qualification';

/** Where what is known of a server comes from. */
export type Source =
  | { kind: 'live' }
  /** A file that the server has signed. */
  | { kind: 'saved'; file: string; savedAt: string; fingerprint: string };

export interface Server {
  facts: Facts;
  source: Source;
}

export interface Report {
  kind: typeof REPORT_KIND;
  schema: 1;
  /** ISO 8601, UTC. */
  madeAt: string;
  version: string;
  policy: Policy;
  verdict: Comparison['verdict'];
  sentence: string;
  levels: readonly (1 | 2 | 3)[];
  profile: { id: string; title: string; notes: string } | null;
  a: Server;
  b: Server;
  items: Comparison['items'];
  /** Of each server that was burnt in. Missing: none was. */
  burnIn?: readonly BurnInSection[];
}

export interface ReportParts {
  a: Server;
  b: Server;
  policy: Policy;
  madeAt: Date;
  version: string;
  burnIn?: readonly BurnInSection[];
}

export function reportOf({ a, b, policy, madeAt, version, burnIn }: ReportParts): Report {
  const profile = profileOf(a.facts, b.facts);
  const { items, ...found } = compare(a.facts, b.facts, policy, profile?.waive ?? []);
  return {
    kind: REPORT_KIND,
    schema: 1,
    madeAt: madeAt.toISOString(),
    version,
    policy: found.policy,
    verdict: found.verdict,
    sentence: found.sentence,
    levels: found.levels,
    profile: profile && { id: profile.id, title: profile.title, notes: profile.notes },
    a,
    b,
    items,
    ...(burnIn && burnIn.length > 0 ? { burnIn } : {}),
  };
}

export type SignedReport = Report & { signature: Signature };

export function signReport(report: Report, key: KeyObject): SignedReport {
  // Written and read once: what is signed is what a reader of the file gets.
  const plain = JSON.parse(JSON.stringify(report)) as { [key: string]: Json };
  return { ...report, signature: signed(plain, key).signature };
}

/** By urgency: what stands against it first, each group in the order of the checks. */
export function byUrgency(items: Report['items']): Report['items'] {
  const rank = (i: Report['items'][number]): number => {
    if (i.waived !== null) return 2;
    if (i.verdict === 'refused') return 0;
    if (i.verdict === 'unknown') return 1;
    return i.verdict === 'compatible' ? 3 : 4;
  };
  return [...items].sort((x, y) => rank(x) - rank(y));
}

/** "CoServer A", or which of two files where both are of a CoServer of one name. */
export function labelsOf({ a, b }: Pick<Report, 'a' | 'b'>): readonly [string, string] {
  if (a.facts.coServer !== b.facts.coServer) return [`CoServer ${a.facts.coServer}`, `CoServer ${b.facts.coServer}`];
  return ['First', 'Second'];
}

export const LEVEL_NAMES = {
  3: 'lockstep (level 3)',
  2: 'restart on the other server, disk mirrored (level 2)',
  1: 'one server alone (level 1)',
} as const;
