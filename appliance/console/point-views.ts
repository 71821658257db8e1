// The restore points in words: which there are, where, what they keep, and what is wrong with one.
import type { RestorePointView, Snapshot } from '../core/snapshot.ts';
import { clockText, dateText, printable, sizeText } from './format.ts';
import type { ActionModel, PointModel, PointsModel, Tone } from './view-models.ts';

/** More are counted only: the command line lists all. */
const POINTS_SHOWN = 60;

const KINDS: Readonly<Record<RestorePointView['kind'], string>> = {
  scheduled: 'by the schedule',
  operator: 'asked for',
  rollback: 'before going back',
};

export function pointsModel(s: Snapshot, actions: readonly ActionModel[]): PointsModel {
  const all = s.restorePoints ?? [];
  const points = all.slice(0, POINTS_SHOWN).map((p) => pointModel(p, actions));
  const troubled = all.filter((p) => p.trouble !== '').length;
  const waiting = all.filter((p) => p.unavailable !== undefined && p.trouble === '').length;
  const kept = all.reduce((sum, p) => sum + p.keptBytes, 0);
  const count = all.length === 1 ? '1 restore point' : `${all.length} restore points`;
  const trouble = troubled === 0 ? '' : `, ${troubled} that cannot be used any more`;
  const unavailable = waiting === 0 ? '' : `, ${waiting} not available now`;
  return {
    brief: all.length === 0 ? 'none' : `${count}, ${sizeText(kept)} kept here${trouble}${unavailable}`,
    tone: troubled + waiting > 0 ? 'warning' : 'info',
    points,
    take: actions.find((a) => a.name === 'take-point') ?? null,
    more: all.length - points.length,
    whyNotBack: printable(whyNotBack(s)),
  };
}

function whyNotBack({ actions }: Snapshot): string {
  const back = actions.filter((a) => a.name.startsWith('roll-back-to-'));
  return back.some((a) => a.allowed) ? '' : (back[0]?.reason ?? '');
}

function whyUnusable({ trouble, unavailable }: RestorePointView): string {
  if (trouble !== '') return `cannot be used: ${trouble}`;
  return unavailable === undefined ? '' : `not available: ${unavailable}`;
}

function pointModel(p: RestorePointView, actions: readonly ActionModel[]): PointModel {
  const trouble = whyUnusable(p);
  const tone: Tone = trouble !== '' ? 'warning' : p.on.length < 2 ? 'info' : 'good';
  const name = printable(p.name);
  return {
    key: p.name,
    name,
    when: `${dateText(p.takenAt)} ${clockText(p.takenAt)}`,
    kind: KINDS[p.kind],
    on: p.on.length === 2 ? 'A and B' : p.on.length === 1 ? `${p.on[0]} only` : 'nowhere',
    kept: sizeText(p.keptBytes),
    trouble: printable(trouble),
    inUse: p.inUse,
    tone,
    actions: actions.filter((a) => a.name === `remove-point-${p.name}` || a.name === `roll-back-to-${p.name}`),
  };
}
