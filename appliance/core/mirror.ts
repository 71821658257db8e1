// Which parts of two copies of the disk may differ, and which of them is to be made equal to which.
//
// A copy carries the name of its data generation: it gets a new one whenever it goes on alone. `suspects` are the extents
// that may differ from the partner's copy; they are on stable media before the first write to a cold extent goes out, and
// are cleared only when both copies hold the same on stable media. So a log of the hot extents and the set of what the
// partner missed are one set, and what a loss of power leaves of it is what a resync has to look at.
//
//   together (base null) --goneAlone--> alone (base: the generation the suspects reach back to) --broughtTogether--> together

/** Names one state of the data: 16 hex digits, random. */
export type DataGeneration = string;

/** Of former generations. A copy gets one with every start alone; the partner can only be at the base or one after it. */
export const HISTORY_LIMIT = 32;

/** What a copy tells of itself. */
export interface CopyRecord {
  /** Which pair it belongs to: 16 hex digits. */
  pair: string;
  current: DataGeneration;
  /** Alone: the generation at which the copies were equal but for the suspects. Null: they still are together. */
  base: DataGeneration | null;
  /** Former generations, newest first. While alone the base is one of them. */
  history: readonly DataGeneration[];
  /** A resync into this copy has begun and not ended. */
  inconsistent: boolean;
}

/** A copy, and the extents of it that may differ from the partner's. */
export interface CopyState {
  record: CopyRecord;
  suspects: ReadonlySet<number>;
}

/**
 * regions    both are of one generation: only what either of them was writing to (`extents` may be empty: equal)
 * source     the other copy is where mine was when I went on alone: it gets what I wrote since, and what it wrote itself
 * target     the other way round
 * full       nothing is known of what differs; `source`: it is known who is newer (null: ask the arbitration)
 * diverged   both went on alone from one generation: one history has to be given up, by the arbitration or the operator
 * unrelated  of different pairs
 * unusable   both were being made equal to the other: neither may be copied from
 */
export type ResyncPlan =
  | { kind: 'regions'; extents: ReadonlySet<number> }
  | { kind: 'source' | 'target'; extents: ReadonlySet<number> }
  | { kind: 'full'; source: 'mine' | 'theirs' | null; reason: string }
  | { kind: 'diverged' | 'unrelated' | 'unusable'; reason: string };

/** What has to be made equal, and in which direction. Null: that copy's record is missing or damaged. */
export function planResync(mine: CopyState | null, theirs: CopyState | null): ResyncPlan {
  if (!mine || !theirs) {
    const whose = !mine && !theirs ? 'both copies' : mine ? "the partner's copy" : 'the copy here';
    return { kind: 'full', source: null, reason: `what ${whose} missed is not recorded` };
  }
  const [a, b] = [mine.record, theirs.record];
  if (a.pair !== b.pair) return { kind: 'unrelated', reason: 'the copies are of different pairs' };
  if (a.inconsistent && b.inconsistent) return { kind: 'unusable', reason: 'both copies were cut short while they were made equal' };
  const extents = union(mine.suspects, theirs.suspects);
  if (a.current === b.current) {
    if (a.inconsistent) return { kind: 'target', extents };
    if (b.inconsistent) return { kind: 'source', extents };
    return { kind: 'regions', extents };
  }
  const iKnow = reaches(a, b.current);
  const theyKnow = reaches(b, a.current);
  // An honest history cannot contain the other's present in both directions.
  if (iKnow !== 'unknown' && theyKnow !== 'unknown') return { kind: 'diverged', reason: 'each copy claims to be the newer one' };
  if (iKnow !== 'unknown') return directed(a, 'source', iKnow, extents);
  if (theyKnow !== 'unknown') return directed(b, 'target', theyKnow, extents);
  if (shareHistory(a, b)) return { kind: 'diverged', reason: 'both copies were written to alone, each after the other was lost' };
  return { kind: 'full', source: null, reason: 'the copies have no generation in common' };
}

/** It is known who is newer. A newer copy that was cut short itself cannot be copied from. */
function directed(newer: CopyRecord, kind: 'source' | 'target', reach: 'suspects' | 'older', extents: ReadonlySet<number>): ResyncPlan {
  if (newer.inconsistent) return { kind: 'unusable', reason: 'the newer copy was cut short while it was made equal' };
  if (reach === 'suspects') return { kind, extents };
  const source = kind === 'source' ? 'mine' : 'theirs';
  return { kind: 'full', source, reason: 'the older copy is older than what is recorded of the differences' };
}

/** suspects: everything since `generation` is in the suspects; older: I was there, but the record of differences begins later. */
function reaches(record: CopyRecord, generation: DataGeneration): 'suspects' | 'older' | 'unknown' {
  const at = record.history.indexOf(generation);
  if (at < 0) return 'unknown';
  if (record.base === null) return 'older';
  return at <= record.history.indexOf(record.base) ? 'suspects' : 'older';
}

/** Nobody has run from it, and it was never made equal to anything. */
export function isNew(record: CopyRecord): boolean {
  return record.base === null && record.history.length === 0;
}

function shareHistory(a: CopyRecord, b: CopyRecord): boolean {
  return a.history.some((g) => b.history.includes(g));
}

/**
 * Durable before anything is written, or acknowledged, that the partner does not have. `next` is new and random. Who lets
 * a copy run that was cut short has decided that it is right: it is a history of its own from then on.
 */
export function goneAlone(record: CopyRecord, next: DataGeneration): CopyRecord {
  const base = record.base ?? record.current;
  const former = [record.current, ...record.history];
  const history = former.slice(0, HISTORY_LIMIT);
  // The base is what the partner is most likely at: it outlives the limit, as the oldest.
  if (!history.includes(base)) history[HISTORY_LIMIT - 1] = base;
  return { ...record, current: next, base, history, inconsistent: false };
}

/** A resync into this copy begins: durable before its first write. */
export function becomingEqual(record: CopyRecord): CopyRecord {
  return { ...record, inconsistent: true };
}

/** Everything was made equal and is on stable media: the target takes the source's generation, durable first... */
export function madeEqual(record: CopyRecord, source: Pick<CopyRecord, 'current' | 'history'>): CopyRecord {
  return { ...record, current: source.current, base: null, history: source.history.slice(0, HISTORY_LIMIT), inconsistent: false };
}

/** ... then the source forgets its base, and all suspects but those of writes that are newer than the last flush of both. */
export function broughtTogether(record: CopyRecord): CopyRecord {
  return { ...record, base: null };
}

export function union(a: ReadonlySet<number>, b: ReadonlySet<number>): ReadonlySet<number> {
  return new Set([...a, ...b]);
}
