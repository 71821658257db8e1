// How fast the partner's copy is made equal: as fast as the guest's writes do not feel it.
//
// What the writes took while nothing was resynced is the measure. Time is cut into windows; after each the rate follows:
//
//   too few writes to judge: nobody waits   doubles per second
//   p95 within twice the quiet one          + 5 % per second
//   beyond                                  halves, down to the floor: a resync that never ends protects nobody
//   no quiet p95 known, or an old one that the floor does not help against: one window of listening, with nothing sent
//
// It is not raised beyond what is used. The operator's ceiling comes before everything, also before the floor.

export interface ResyncRate {
  readonly bytesPerS: number;
  /** Bytes per second; null: none. */
  readonly ceiling: number | null;
  /** p95 of the guest's writes without a resync, ms; null: not known. */
  readonly quietP95Ms: number | null;
  /** How long ago that was. */
  readonly quietAgeMs: number;
  /** Nothing is sent in this window. */
  readonly listens: boolean;
  /** The guest wrote in the last window. */
  readonly guestWrites: boolean;
}

/** What happened in a window. */
export interface ResyncWindow {
  ms: number;
  /** Of the guest, ended in the window. */
  writes: number;
  /** Of these; 0 without any. */
  p95Ms: number;
  /** What was charged for the resync. */
  chargedBytes: number;
}

export const RESYNC_WINDOW_MS = 500;
export const RESYNC_FLOOR = 10_000_000;
/** Half a gigabit link, until the first window has told more. */
const START = 60_000_000;
/** Fewer writes of a window say nothing about a p95. */
const LEAST_WRITES = 8;
const GROWTH_PER_S = 1.05;
const IDLE_GROWTH_PER_S = 2;
const TOLERATED = 2;
/**
 * A shorter quiet p95 counts as this: one piece of the resync on a link of 1 Gbit/s takes 2 ms, and whoever comes behind it
 * waits for it at any rate.
 */
const LEAST_QUIET_MS = 1;
/** At the floor, and the writes are still slow: after this time perhaps the guest does something else now. */
const LISTEN_AGAIN_MS = 10_000;

/** A resync is cut into pieces of this size. They are locked and travel whole: 2 ms at 1 Gbit/s. */
export const RESYNC_PIECE_BYTES = 256 * 1024;
/** Comparing loads disk and CPU, not the links: a piece that turns out to be equal costs this part of its size. */
const EQUAL_COST = 1 / 8;

export function startResyncRate(ceiling: number | null): ResyncRate {
  return {
    bytesPerS: Math.min(START, ceiling ?? START),
    ceiling,
    quietP95Ms: null,
    quietAgeMs: 0,
    listens: false,
    guestWrites: false,
  };
}

export function afterWindow(rate: ResyncRate, w: ResyncWindow): ResyncRate {
  const guestWrites = w.writes >= LEAST_WRITES;
  const next = { ...rate, guestWrites, listens: false, quietAgeMs: rate.quietAgeMs + w.ms };
  if (rate.listens) return { ...next, quietP95Ms: guestWrites ? w.p95Ms : rate.quietP95Ms, quietAgeMs: 0 };
  if (!guestWrites) return { ...next, bytesPerS: raised(rate, w, IDLE_GROWTH_PER_S) };
  if (rate.quietP95Ms === null) return { ...next, listens: true };
  if (w.p95Ms <= TOLERATED * Math.max(rate.quietP95Ms, LEAST_QUIET_MS)) return { ...next, bytesPerS: raised(rate, w, GROWTH_PER_S) };
  const lowest = Math.min(RESYNC_FLOOR, rate.ceiling ?? RESYNC_FLOOR);
  const listens = rate.bytesPerS <= lowest && next.quietAgeMs >= LISTEN_AGAIN_MS;
  return { ...next, listens, bytesPerS: Math.max(lowest, rate.bytesPerS / 2) };
}

function raised(rate: ResyncRate, w: ResyncWindow, perS: number): number {
  const isUsed = w.chargedBytes * 1000 >= (rate.bytesPerS * w.ms) / 2;
  if (!isUsed) return rate.bytesPerS;
  const wanted = rate.bytesPerS * perS ** (w.ms / 1000);
  return Math.min(wanted, rate.ceiling ?? wanted);
}

/** Pieces under way at a time: with a guest that writes no more than what one of its writes may have to wait for. */
export function piecesAtOnce(rate: ResyncRate): number {
  return rate.guestWrites ? 1 : 4;
}

/** What a piece counts for. */
export function pieceCharge(comparedBytes: number, copiedBytes: number): number {
  return Math.max(copiedBytes, comparedBytes * EQUAL_COST);
}

/** A token bucket that may be in debt: what a piece costs is known only after it. */
export interface ResyncBucket {
  /** Bytes that may be charged at `atMs`; below 0: to be waited for. */
  readonly allowance: number;
  readonly atMs: number;
}

/** Time in which nothing was sent is not made up for beyond this: a busy CPU, not a pause. How much is under way is bounded apart from it. */
const BURST_S = 0.1;

export function charged(bucket: ResyncBucket, bytes: number): ResyncBucket {
  return { ...bucket, allowance: bucket.allowance - bytes };
}

export function refilled(bucket: ResyncBucket, bytesPerS: number, nowMs: number): ResyncBucket {
  return { allowance: Math.min(bytesPerS * BURST_S, bucket.allowance + (bytesPerS * (nowMs - bucket.atMs)) / 1000), atMs: nowMs };
}

/** After `refilled`: how long until the next piece may begin. */
export function waitMs(bucket: ResyncBucket, bytesPerS: number): number {
  return bucket.allowance >= 0 ? 0 : (-bucket.allowance * 1000) / bytesPerS;
}
