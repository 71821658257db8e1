// How long disks take, against what they usually take, and against what no disk should. A disk that dies slowly is slow first, and says
// nothing.
//
// Of the requests between two readings: what each took, or the time in which the disk was busy divided by them, whichever is less. A full
// queue makes each request wait, and a burst of writes does, while the disk ends them as fast as ever. Slow is far slower than usual, or
// half a second whatever is usual: one that was slow from the start has no better days to be compared with. Requests that wait while none
// ends are as slow.
//
//     good --six slow readings in a row--> slow --one good reading--> good
//
// Readings without a request say nothing: they count for neither side. Neither does what may be the watch's own fault: a server that did
// not run for some seconds finds every request late by as much, in this reading or in the next, so that is taken off first. The hung disk of
// the mirror is the mirror's too: it has its own time-out.
import type { Diagnosis, DiskLatencyReading, Finding, Reading } from './types.ts';

export interface DiskLatencyMemory {
  disks: ReadonlyMap<string, DiskMemory>;
  at: number | null;
  /** Of the last reading: what it caught up with ends in the next one. */
  lateMs: number;
}
interface DiskMemory {
  last: DiskLatencyReading;
  /** ms per request, averaged; null: not known yet. */
  usualMs: number | null;
  readings: number;
  slowInARow: number;
  detail: string;
}
export const FRESH_DISK_LATENCY: DiskLatencyMemory = { disks: new Map(), at: null, lateMs: 0 };

/** About ten minutes at one reading in five seconds. */
const LEARN_READINGS = 120;
const TREND_FROM_READINGS = 12;
/** Of few requests the mean says little, unless all of them are very late. */
const REQUESTS_AT_LEAST = 5;
export const SLOWER_TIMES = 20;
/** The slowest disk in good order takes 15 ms for a scattered request. */
export const SLOW_MS = 200;
/** Slow without any comparison. A disk that wakes up takes longer, once. */
export const VERY_SLOW_MS = 500;
/** Half a minute at one reading in five seconds. */
export const SLOW_READINGS = 6;
/** A fifth of the time between two readings: nothing is compared any more, and nothing is learned. */
export const LATE_MS = 1_000;
/** Half of it: so long must the watch have seen nothing end. */
const WAITED_MS = 2_500;

export function diagnoseDiskLatency(
  memory: DiskLatencyMemory,
  { disks, lateMs }: Pick<Extract<Reading, { source: 'disks' }>, 'disks' | 'lateMs'>,
  at: number,
): Diagnosis<DiskLatencyMemory> {
  const spanMs = memory.at === null ? 0 : at - memory.at;
  const next = new Map<string, DiskMemory>();
  const findings: Finding[] = [];
  for (const disk of disks) {
    const before = memory.disks.get(disk.disk) ?? { last: disk, usualMs: null, readings: 0, slowInARow: 0, detail: '' };
    const now = spanMs <= 0 ? { ...before, last: disk } : follow(before, disk, spanMs, lateMs + memory.lateMs);
    next.set(disk.disk, now);
    if (now.slowInARow >= SLOW_READINGS) findings.push({ code: 'diskSlow', where: disk.disk, detail: now.detail });
  }
  return { memory: { disks: next, at, lateMs }, findings };
}

function follow(before: DiskMemory, disk: DiskLatencyReading, spanMs: number, lateMs: number): DiskMemory {
  const { last, usualMs, readings, slowInARow } = before;
  const ended = disk.reads - last.reads + disk.writes - last.writes + disk.flushes - last.flushes;
  const ms = disk.readMs - last.readMs + disk.writeMs - last.writeMs + disk.flushMs - last.flushMs;
  const busyMs = disk.busyMs - last.busyMs;
  const beganAnew = ended < 0 || ms < 0 || busyMs < 0;
  const slow = (detail: string): DiskMemory => ({ ...before, last: disk, slowInARow: Math.min(slowInARow + 1, SLOW_READINGS), detail });
  if (
    !beganAnew &&
    ended === 0 &&
    last.inFlight > 0 &&
    disk.inFlight > 0 &&
    disk.discards === last.discards &&
    spanMs - lateMs >= WAITED_MS
  )
    return slow(`${disk.inFlight} requests wait, and none ended in ${Math.round(spanMs / 1000)} s`);
  if (beganAnew || ended === 0) return { ...before, last: disk };
  const each = Math.min(ms, busyMs) / ended;
  if (Math.min(ms / ended - lateMs, (busyMs - lateMs) / ended) >= VERY_SLOW_MS) return slow(`${Math.round(each)} ms a request`);
  if (lateMs >= LATE_MS) return { ...before, last: disk };
  if (ended < REQUESTS_AT_LEAST) return each < SLOW_MS ? { ...before, last: disk, slowInARow: 0 } : { ...before, last: disk };
  if (each >= SLOW_MS && readings >= TREND_FROM_READINGS && usualMs !== null && each > usualMs * SLOWER_TIMES)
    return slow(`${Math.round(each)} ms a request, usually ${usualMs.toFixed(1)} ms`);
  return { last: disk, usualMs: learn(usualMs, each, readings), readings: readings + 1, slowInARow: 0, detail: '' };
}

function learn(usual: number | null, each: number, readings: number): number {
  if (usual === null) return each;
  return usual + (each - usual) / Math.min(readings + 1, LEARN_READINGS);
}
