// The witness's whole decision: one compare-and-set per workload group, and when its memory may be trusted.
//
// A claim says: "my durable record has generation g, let me own g+1". It is granted when nobody was granted anything newer
// than g; whoever was granted g+1 is granted it again, because the answer may have been lost on the way.
//
// A witness that has just started does not know what it has forgotten: its disk may be new, or from a backup. It grants
// nothing new until the pair has told it where it stands. The same when a CoServer has seen more of it than it knows itself.
//
//   unconfirmed --- the simplex owner reports, or both CoServers do, none of them with a claim under way ---> confirmed
//        ^------------------- start; a CoServer saw a later count, or another life of the witness --------------+
//
// Why reports suffice: whoever was granted g+1 either holds it (and reports g+1), or waits for the answer (and reports
// 'other'), or lost the answer with its connection and must ask again. If both report g with no claim under way, nobody has
// g+1. A recorded simplex owner at g has no partner that could claim g: it records duplex before its partner does.
import type { CoServerName } from './snapshot.ts';
import { never, type State } from './state.ts';

/** What must be on disk before it is said. */
export interface WitnessMemory {
  /** The newest generation granted or reported. */
  generation: number;
  /** Null: both stood at this generation when they were asked. */
  owner: CoServerName | null;
  /** Durable changes of this memory so far. */
  counter: number;
}

/** How far a CoServer has followed this witness: every reply carries it, every request brings the latest back. */
export interface WitnessMark {
  /** Random per start of the witness. */
  memoryId: string;
  /** Grows with every reply to a group. */
  count: number;
}

/**
 * duplex, simplex, fresh: what the record says, with no claim under way. stopped: outdated or inconsistent, likewise.
 * other: a claim is under way, so what this CoServer has is not known.
 */
export type ReportedState = 'duplex' | 'simplex' | 'fresh' | 'stopped' | 'other';

export interface WitnessReport {
  coServer: CoServerName;
  /** Random per life of the CoServer's process. */
  incarnation: string;
  /** Of its record. */
  generation: number;
  state: ReportedState;
  /** The latest mark it got; null: none in this life of its process. */
  seen: WitnessMark | null;
  /** When it arrived: the witness's monotonic clock, ms. */
  at: number;
}

export interface WitnessClaim {
  claimant: CoServerName;
  /** The generation of the claimant's record. */
  generation: number;
  seen: WitnessMark | null;
}

export interface WitnessGroup {
  memory: WitnessMemory | null;
  /** The memory is known to be whole. Never on disk. */
  confirmed: boolean;
  /** Why it is not, in words. */
  doubt: string;
  mark: WitnessMark;
  /** The latest of each CoServer over a connection that is open. */
  reports: Readonly<Partial<Record<CoServerName, WitnessReport>>>;
}

/**
 * refused: somebody else was granted that generation or a newer one, and the claimant must stop. unconfirmed: the witness
 * does not trust its memory: the claimant withholds its output and asks again.
 */
export type WitnessAnswer =
  | { kind: 'granted'; generation: number; owner: CoServerName }
  | { kind: 'refused'; reason: string }
  | { kind: 'unconfirmed'; reason: string };

/** Reports come every second: three missed ones, and it is not known any more where that CoServer stands. */
export const REPORT_VALID_MS = 3_500;

/** A group after a start of the witness. `memory` null: there is none on disk; `doubt`: another reason than the start. */
export function witnessStart(memory: WitnessMemory | null, memoryId: string, doubt?: string): WitnessGroup {
  const why = memory ? 'the witness restarted' : 'the witness has no memory of this pair';
  return { memory, confirmed: false, doubt: doubt ?? why, mark: { memoryId, count: 0 }, reports: {} };
}

/** What a CoServer reports of itself. To be told anew whenever it changes, and before a claim. */
export function witnessReportOf({ record, phase }: State): { generation: number; state: ReportedState } {
  const { generation } = record;
  if (phase.claim?.asked) return { generation, state: 'other' };
  switch (record.standing) {
    case 'fresh':
    case 'simplex':
      return { generation, state: record.standing };
    case 'duplexPrimary':
    case 'duplexSecondary':
      return { generation, state: 'duplex' };
    case 'outdated':
    case 'inconsistent':
      return { generation, state: 'stopped' };
    default:
      return never(record.standing);
  }
}

/** `changed`: the memory must be durable before the reply leaves, and before the group counts as confirmed. */
export function decideReport(before: WitnessGroup, report: WitnessReport): { group: WitnessGroup; changed: boolean } {
  const group = compareMark(before, report.seen);
  group.reports = { ...group.reports, [report.coServer]: report };
  const found = standing(group, report);
  if (!found) return { group, changed: false };
  const { memory } = group;
  if (memory && found.generation < memory.generation) {
    // The answer to this grant never arrived: nobody has the generation, and its owner may ask for it again.
    const isPending = found.generation + 1 === memory.generation && memory.owner !== null && (found.owner ?? memory.owner) === memory.owner;
    return { group: isPending ? trusted(group) : group, changed: false };
  }
  // Both at the memory's own generation say nothing against its owner; a simplex owner at it is the owner.
  if (memory?.generation === found.generation && (found.owner ?? memory.owner) === memory.owner)
    return { group: trusted(group), changed: false };
  return { group: { ...trusted(group), memory: { ...found, counter: (memory?.counter ?? 0) + 1 } }, changed: true };
}

/** `changed`: the grant must be durable before it is said. */
export function decideClaim(before: WitnessGroup, claim: WitnessClaim): { group: WitnessGroup; answer: WitnessAnswer; changed: boolean } {
  const group = compareMark(before, claim.seen);
  // Where the claimant stands is not known until it has the answer.
  group.reports = withoutReport(group.reports, claim.claimant);
  const { memory } = group;
  const wanted = claim.generation + 1;
  // Nor is an old grant said again: it may have been forgotten once, and the generation been granted to the other since.
  if (!group.confirmed) return { group, answer: { kind: 'unconfirmed', reason: unconfirmedReason(group) }, changed: false };
  if (memory && memory.generation === wanted && memory.owner === claim.claimant)
    return { group, answer: { kind: 'granted', generation: wanted, owner: claim.claimant }, changed: false };
  if (memory && memory.generation > claim.generation) {
    const reason = memory.owner
      ? `generation ${memory.generation} was granted to ${memory.owner}`
      : `the pair is at generation ${memory.generation} already`;
    return { group, answer: { kind: 'refused', reason }, changed: false };
  }
  // What was reported before somebody was granted a generation proves nothing after it.
  group.reports = {};
  group.memory = { generation: wanted, owner: claim.claimant, counter: (memory?.counter ?? 0) + 1 };
  return { group, answer: { kind: 'granted', generation: wanted, owner: claim.claimant }, changed: true };
}

/** The CoServer's connection ended: what it said over it is no evidence any more. */
export function dropReport(group: WitnessGroup, coServer: CoServerName): WitnessGroup {
  return { ...group, reports: withoutReport(group.reports, coServer) };
}

/** Why no claim is granted, and what would change it. */
export function unconfirmedReason(group: WitnessGroup): string {
  return `${group.doubt}: it grants nothing until both CoServers, or the one that runs alone, have told it where they stand`;
}

/** Counts the reply, and finds out whether this witness has lost time: then nothing it was told before counts. */
function compareMark(group: WitnessGroup, seen: WitnessMark | null): WitnessGroup {
  const { memoryId, count } = group.mark;
  const next = { ...group, mark: { memoryId, count: count + 1 } };
  if (!seen) return next;
  const isOther = seen.memoryId !== memoryId;
  if (!isOther && seen.count <= count) return next;
  return {
    ...next,
    confirmed: false,
    doubt: isOther ? 'this CoServer last spoke with another life of the witness' : 'the witness was restored from a saved state',
    reports: {},
    // Beyond what was seen, so that this is found once and not with every request.
    mark: { memoryId, count: isOther ? count + 1 : seen.count + 1 },
  };
}

/** Where the pair stands according to this report and the latest of the other CoServer; null: that is not known. */
function standing(group: WitnessGroup, report: WitnessReport): { generation: number; owner: CoServerName | null } | null {
  const { generation, state, coServer, at } = report;
  if (state === 'other') return null;
  if (state === 'simplex') return { generation, owner: coServer };
  const other = group.reports[coServer === 'A' ? 'B' : 'A'];
  if (!other || other.state === 'other' || at - other.at > REPORT_VALID_MS) return null;
  // A simplex owner that is behind is none.
  if (other.state === 'simplex') return other.generation < generation ? null : { generation: other.generation, owner: other.coServer };
  // A new disk knows nothing of what was granted to the one before it: it is evidence only beside another new one.
  if ((state === 'fresh') !== (other.state === 'fresh')) return null;
  return { generation: Math.max(generation, other.generation), owner: null };
}

function trusted(group: WitnessGroup): WitnessGroup {
  return { ...group, confirmed: true, doubt: '' };
}

function withoutReport(reports: WitnessGroup['reports'], coServer: CoServerName): WitnessGroup['reports'] {
  const other = reports[coServer === 'A' ? 'B' : 'A'];
  return other ? { [other.coServer]: other } : {};
}
