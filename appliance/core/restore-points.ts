// May the operator take, remove or go back to a restore point now? Accepted, or the sentence that stands next to the grey button.
//
// Taken and removed where the workload runs, or where it is switched off: there the right to start it is, so both copies follow from
// there. Gone back only while it is off: a guest whose disk changes under it is lost.
import type { ActionView, RestorePointView } from './snapshot.ts';
import type { PhaseKind, State } from './state.ts';

export interface PointsKnown {
  points: readonly RestorePointView[];
  /** Why none can be kept on this CoServer; empty: they can. */
  refusal: string;
  /** The disk is being made as this point was; null: it is not. */
  rollingBack: string | null;
}

export type PointVerb = 'take' | 'remove' | 'roll-back' | 'export' | 'end-export';

/** Typed to go back to a point. */
export const ROLL_BACK_WORD = 'roll back';
const RUNS: readonly PhaseKind[] = ['running', 'resyncing', 'duplex'];
const BUSY: readonly PhaseKind[] = ['starting', 'protecting', 'committing', 'steppingDown', 'claiming', 'acting'];

/** Null: yes. */
export function whyNotPoint(s: State, known: PointsKnown, verb: PointVerb, name: string): string | null {
  const kind = s.phase.kind;
  const isOff = (kind === 'off' || kind === 'failed') && s.record.standing === 'simplex';
  const point = known.points.find((p) => p.name === name);
  const isHere = point?.on.includes(s.me) ?? false;
  if (verb === 'end-export') return null;
  if (verb !== 'take' && !point) return `There is no restore point '${name}'.`;
  if (verb === 'export') {
    if (!isHere) return `The restore point '${name}' is on the other CoServer: ask there.`;
    return whyUnusable(point);
  }
  if (known.rollingBack !== null && verb !== 'roll-back') return `The disk is being rolled back to '${known.rollingBack}'.`;
  if (verb === 'roll-back') {
    if (!isOff)
      return RUNS.includes(kind) || BUSY.includes(kind)
        ? 'Possible while the workload is switched off: shut the guest down first.'
        : 'Possible on the CoServer that switched the workload off.';
    if (!isHere) return `The restore point '${name}' is not on this CoServer.`;
    const unusable = whyUnusable(point);
    if (unusable !== null) return unusable;
    return known.refusal === '' ? null : `How the disk is now could not be kept: ${known.refusal}.`;
  }
  if (!isOff && !RUNS.includes(kind))
    return BUSY.includes(kind)
      ? 'Possible when the change that is under way has ended.'
      : 'Restore points are taken and removed on the CoServer that runs the workload: ask there.';
  if (verb === 'remove') return point?.inUse ? `The restore point '${name}' is being read: end that first.` : null;
  return known.refusal === '' ? null : `No restore point can be kept here: ${known.refusal}.`;
}

function whyUnusable(point: RestorePointView | undefined): string | null {
  if (point?.trouble) return `The restore point '${point.name}' cannot be used: ${point.trouble}.`;
  return point?.unavailable ? `The restore point '${point.name}' is not available: ${point.unavailable}.` : null;
}

/** For the consoles: one to take one, and two for each that there is. */
export function pointActions(s: State, known: PointsKnown): ActionView[] {
  const action = (name: string, label: string, verb: PointVerb, point: string): ActionView => {
    const reason = whyNotPoint(s, known, verb, point);
    return { name, label, allowed: reason === null, reason: reason ?? '' };
  };
  return [
    action('take-point', 'Take a restore point now', 'take', ''),
    ...known.points.flatMap((p) => [
      action(`remove-point-${p.name}`, `Remove the restore point ${p.name}`, 'remove', p.name),
      {
        ...action(`roll-back-to-${p.name}`, `Go back to the restore point ${p.name}`, 'roll-back', p.name),
        typed: {
          word: ROLL_BACK_WORD,
          meaning: `The disk becomes as it was when ${p.name} was taken. How it is now is kept as a restore point of its own first.`,
        },
      },
    ]),
  ];
}
