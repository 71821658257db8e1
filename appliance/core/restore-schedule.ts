// When a restore point is taken by itself, and which ones have had their time. Pure: what is there and the time come in as arguments.
//
// By the wall clock, because that is what an operator looks for in a list; a clock that was set back makes one point early, never none.
import type { RestorePointView } from './snapshot.ts';

export interface RestoreSchedule {
  /** 0: none is taken by itself. */
  everyMinutes: number;
  /** Of the scheduled ones. */
  keep: number;
}

export interface SchedulePlan {
  /** The name of the point to take; null: none is due. */
  take: string | null;
  /** Oldest first. Never one that somebody asked for, or that is being read. */
  remove: string[];
}

/** @param now Wall clock ms. */
export function planPoints(schedule: RestoreSchedule, points: readonly RestorePointView[], now: number): SchedulePlan {
  const scheduled = points.filter((p) => p.kind === 'scheduled').sort((a, b) => b.takenAt - a.takenAt);
  if (schedule.everyMinutes === 0) return { take: null, remove: [] };
  const latest = scheduled[0]?.takenAt ?? Number.NEGATIVE_INFINITY;
  const isDue = now - latest >= schedule.everyMinutes * 60_000 || latest > now;
  const name = scheduledName(now);
  return {
    take: isDue && !points.some((p) => p.name === name) ? name : null,
    remove: scheduled
      .slice(schedule.keep)
      .filter((p) => !p.inUse)
      .reverse()
      .map((p) => p.name),
  };
}

/** 's-20251121-093000': of the wall clock, UTC, which the list shows as well. */
function scheduledName(now: number): string {
  return `s-${stampOf(now)}`;
}

/** '20251121-093000', without a Date, which the core has none of. */
export function stampOf(now: number): string {
  const seconds = Math.floor(now / 1000);
  const days = Math.floor(seconds / 86_400);
  const rest = seconds - days * 86_400;
  // Days since 1970 to a date of the civil calendar: years that begin in March (H. Hinnant, chrono-compatible date algorithms).
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const day = z - era * 146_097;
  const year = Math.floor((day - Math.floor(day / 1460) + Math.floor(day / 36_524) - Math.floor(day / 146_096)) / 365);
  const ofYear = day - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const month = Math.floor((5 * ofYear + 2) / 153);
  const d = ofYear - Math.floor((153 * month + 2) / 5) + 1;
  const m = month < 10 ? month + 3 : month - 9;
  const y = year + era * 400 + (m <= 2 ? 1 : 0);
  const two = (n: number): string => String(100 + n).slice(1);
  return `${String(10_000 + y).slice(1)}${two(m)}${two(d)}-${two(Math.floor(rest / 3600))}${two(Math.floor(rest / 60) % 60)}${two(rest % 60)}`;
}
