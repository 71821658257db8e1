// Which extents of the disk may be written to now, and which of them count as equal again.
//
// An extent becomes suspect, durably, before the first write to it goes out (one flush; the following writes find it hot).
// It may be cleared when no write to it is under way, and both copies were flushed after the last one had ended.
//
//   cold --begin--> marked, not durable (the write waits) --durable--> hot --ended, flushed on both--> coldest first: cleared
//
// Not known to be equal (from a time alone, or before the resync has ended): never cleared one by one, only by `settleAll`.

export interface HotLimits {
  /** What is kept hot. As much is compared after a crash. */
  most: number;
  /** Above `most` the coldest are cleared down to this, so that one flush of both copies is paid for many. */
  kept: number;
}
/** 1 GiB, in extents of 4 MiB. */
export const HOT_EXTENTS: HotLimits = { most: 256, kept: 192 };

interface Hot {
  /** Writes under way. */
  writing: number;
  /** The log's count when the last one began or ended. */
  touched: number;
  /** The highest checkpoint interval of its writes. */
  interval: number;
}

/** joining: the partner gets every write and is being made equal. together: the copies are equal but for what is hot. */
export type LogPhase = 'alone' | 'joining' | 'together';

/** Changed in place: it is asked with every write of the guest. */
export interface ActivityLog {
  /** Extents that may differ; in memory, ahead of what is durable. */
  readonly suspects: Set<number>;
  /** In no order: every write of the guest comes by, and `oldestFirst` is asked seldom. */
  readonly hot: Map<number, Hot>;
  touches: number;
  phase: LogPhase;
  readonly limits: HotLimits;
}

export function activityLog(suspects: Iterable<number> = [], limits: HotLimits = HOT_EXTENTS): ActivityLog {
  return { suspects: new Set(suspects), hot: new Map(), touches: 0, phase: 'alone', limits };
}

/** A write to the extent is about to begin. True: it has become suspect by this, which must be durable first. */
export function beginWrite(log: ActivityLog, extent: number, interval: number): boolean {
  const hot = touch(log, extent);
  hot.writing++;
  hot.interval = Math.max(hot.interval, interval);
  if (log.suspects.has(extent)) return false;
  log.suspects.add(extent);
  return true;
}

/** The write has ended, on both copies or as it may. */
export function endWrite(log: ActivityLog, extent: number): void {
  const hot = touch(log, extent);
  hot.writing--;
  // Alone it stays suspect whatever is flushed: there is nothing to remember.
  if (log.phase === 'alone' && hot.writing === 0) log.hot.delete(extent);
}

function touch(log: ActivityLog, extent: number): Hot {
  let hot = log.hot.get(extent);
  if (!hot) {
    hot = { writing: 0, touched: 0, interval: 0 };
    log.hot.set(extent, hot);
  }
  hot.touched = ++log.touches;
  return hot;
}

/** By the time of the last write. */
function oldestFirst(log: ActivityLog): [extent: number, hot: Hot][] {
  return [...log.hot].sort(([, a], [, b]) => a.touched - b.touched);
}

/** From now on every write goes to the partner too. */
export function joining(log: ActivityLog): void {
  log.phase = 'joining';
}

/** The partner gets nothing any more: what is suspect stays so. */
export function apart(log: ActivityLog): void {
  log.phase = 'alone';
  for (const [extent, { writing }] of log.hot) if (writing === 0) log.hot.delete(extent);
}

/** Too many are hot: both copies should be flushed, and then `settle` called with the answer of `moment` from before. */
export function isCrowded(log: ActivityLog): boolean {
  return log.phase === 'together' && log.hot.size > log.limits.most;
}

/** To be asked before the flushes begin. */
export function moment(log: ActivityLog): number {
  return log.touches;
}

/**
 * Both copies were flushed since `since`; the partner's disk has every interval up to `interval` whole. Answers what is
 * cleared: the coldest extents, those without a write under way or one later than that.
 */
export function settle(log: ActivityLog, since: number, interval: number): number[] {
  if (log.phase !== 'together') return [];
  const cleared: number[] = [];
  for (const [extent, hot] of oldestFirst(log)) {
    if (log.hot.size <= log.limits.kept) break;
    if (hot.writing > 0 || hot.touched > since || hot.interval > interval) continue;
    log.hot.delete(extent);
    log.suspects.delete(extent);
    cleared.push(extent);
  }
  return cleared;
}

/**
 * For whoever must do something durable before an extent is cleared: the coldest, or with `all` every one, without a write under way
 * or one later than `since`. Nothing is cleared: that is `clear`, when it is done.
 */
export function coolable(log: ActivityLog, since: number, all: boolean): number[] {
  const isCold = ({ writing, touched }: Hot): boolean => writing === 0 && touched <= since;
  if (all) return [...log.suspects].filter((extent) => isCold(log.hot.get(extent) ?? { writing: 0, touched: 0, interval: 0 }));
  const found: number[] = [];
  for (const [extent, hot] of oldestFirst(log)) {
    if (log.hot.size - found.length <= log.limits.kept) break;
    if (isCold(hot)) found.push(extent);
  }
  return found;
}

/** Of these, what has not been written to after `since` is cleared. */
export function clear(log: ActivityLog, extents: readonly number[], since: number): number[] {
  return extents.filter((extent) => {
    const hot = log.hot.get(extent);
    if (hot && (hot.writing > 0 || hot.touched > since)) return false;
    log.hot.delete(extent);
    return log.suspects.delete(extent);
  });
}

/** A resync has ended: all that was suspect was made equal, and flushed on both since `since`. Answers what is cleared. */
export function settleAll(log: ActivityLog, since: number): number[] {
  const cleared: number[] = [];
  for (const extent of log.suspects) {
    const hot = log.hot.get(extent);
    if (hot && (hot.writing > 0 || hot.touched > since)) continue;
    log.suspects.delete(extent);
    log.hot.delete(extent);
    cleared.push(extent);
  }
  log.phase = 'together';
  return cleared;
}
