// How often something happens, from totals or from single events. The intuition: a corrected error is normal, ten in an hour are not.
// A total that falls means that the machine or the driver began anew: it counts from there.

/** Times (monotonic ms) and amounts within the window, oldest first; the last total. */
export interface RateMemory {
  total: number | null;
  events: readonly { at: number; count: number }[];
}

export const FRESH_RATE: RateMemory = { total: null, events: [] };
/** More than any threshold needs: what comes faster is put together with the one before. */
const EVENTS_LIMIT = 64;

/** Add what is new in a total. The first one is where it begins: what was before this process is not judged. */
export function countTotal(memory: RateMemory, total: number, at: number, windowMs: number): RateMemory {
  if (memory.total === null) return { total, events: [] };
  const more = total >= memory.total ? total - memory.total : total;
  return { ...countEvents(memory, more, at, windowMs), total };
}

export function countEvents(memory: RateMemory, count: number, at: number, windowMs: number): RateMemory {
  const events = memory.events.filter((e) => e.at > at - windowMs);
  if (count > 0) {
    const last = events.at(-1);
    if (last && events.length >= EVENTS_LIMIT) events[events.length - 1] = { at, count: last.count + count };
    else events.push({ at, count });
  }
  return { total: memory.total, events };
}

export function inWindow(memory: RateMemory): number {
  return memory.events.reduce((sum, e) => sum + e.count, 0);
}
