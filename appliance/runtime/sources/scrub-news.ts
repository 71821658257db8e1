// What is told of a comparison of both copies that has ended: how much of the disk, how long, what was found, and what became of it.
import { countText, durationText, sizeText } from '../../console/format.ts';
import type { ScrubView, TimelineEntry } from '../../core/snapshot.ts';

export function scrubNews(v: ScrubView): Pick<TimelineEntry, 'severity' | 'row' | 'text'> {
  const left = v.differed - v.repaired;
  const took = durationText((v.endedAt ?? v.startedAt) - v.startedAt);
  const found =
    v.differed === 0
      ? 'No block differed.'
      : `${countText(v.differed, 'block')} differed or could not be read: ${v.repaired} repaired, ${left === 0 ? 'none' : left} left as found.`;
  const how =
    v.state === 'done'
      ? `Both copies of the disk were compared: ${sizeText(v.checkedBytes)} in ${took}.`
      : `The comparison of both copies was cut short after ${sizeText(v.checkedBytes)} of ${sizeText(v.totalBytes)} and ${took}: ${v.reason}.`;
  const severity = left > 0 ? 'critical' : v.differed > 0 || v.state !== 'done' ? 'warning' : 'info';
  return { severity, row: v.differed > 0 ? '15' : null, text: `${how} ${found}` };
}

/** Nothing is wrong with either copy any more, whatever was repaired before. */
export function isClean(v: ScrubView): boolean {
  return v.state === 'done' && v.differed === 0;
}
