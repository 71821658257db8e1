// What an operator may ask for: in groups, what cannot be asked for now only where that says something, the emergency last and out of
// sight until it is possible or looked for. And the word that an action needs: without it no console asks.
import type { ActionView, Snapshot } from '../core/snapshot.ts';
import { printable } from './format.ts';
import type { ActionGroup, ActionGroupModel, ActionModel } from './view-models.ts';

const GROUPS: readonly { group: ActionGroup; title: string }[] = [
  { group: 'other', title: 'This CoServer' },
  { group: 'guest', title: 'The guest' },
  { group: 'maintenance', title: 'Maintenance' },
  { group: 'mode', title: 'How output leaves' },
  { group: 'software', title: 'The software' },
  { group: 'settings', title: 'Settings' },
  { group: 'emergency', title: 'Emergency: it can lose data' },
  // Last: there may be many.
  { group: 'points', title: 'Restore points' },
];

const GROUP_OF: Readonly<Record<string, ActionGroup>> = {
  'shutdown-guest': 'guest',
  'start-guest': 'guest',
  'move-workload': 'guest',
  'enter-maintenance': 'maintenance',
  'end-maintenance': 'maintenance',
  'let-rejoin': 'maintenance',
  'try-disk': 'maintenance',
  'start-scrub': 'maintenance',
  'stop-scrub': 'maintenance',
  'accept-replacement': 'maintenance',
  'end-replacement': 'maintenance',
  'show-witness-key': 'maintenance',
  'pin-lockstep': 'mode',
  'pin-passive': 'mode',
  'automatic-mode': 'mode',
  'force-start': 'emergency',
  'force-older-copy': 'emergency',
  'give-up-history': 'emergency',
  'adopt-disk': 'emergency',
};

/** The opposite of what is so now, or an end of what has not begun: when it is not possible, its reason says nothing new. */
const ONLY_WHEN_POSSIBLE: readonly string[] = [
  'start-guest',
  'end-maintenance',
  'let-rejoin',
  'try-disk',
  'start-scrub',
  'stop-scrub',
  'automatic-mode',
  'adopt-disk',
  'accept-replacement',
];

/** Two for each restore point: by how they begin. */
const POINT_ACTIONS = /^(take-point$|remove-point-|roll-back-to-)/;

const groupOf = ({ name, typed }: ActionView): ActionGroup =>
  GROUP_OF[name] ?? (POINT_ACTIONS.test(name) ? 'points' : typed ? 'emergency' : 'other');

/** By group. Those that are possible are numbered, for consoles whose keys are digits. */
export function actionModels({ actions, lockstep }: Pick<Snapshot, 'actions' | 'lockstep'>): ActionModel[] {
  const canStart = actions.some((a) => a.name === 'start-guest' && a.allowed);
  const isSilent = (a: ActionView): boolean =>
    !a.allowed &&
    (ONLY_WHEN_POSSIBLE.includes(a.name) ||
      groupOf(a) === 'points' ||
      (a.name === 'shutdown-guest' && canStart) ||
      (groupOf(a) === 'mode' && lockstep === null));
  let number = 0;
  return GROUPS.flatMap(({ group }) => actions.filter((a) => groupOf(a) === group && !isSilent(a))).map((a) => ({
    name: a.name,
    label: printable(a.label),
    allowed: a.allowed,
    reason: printable(a.reason),
    group: groupOf(a),
    typed: a.typed ? { word: printable(a.typed.word), meaning: printable(a.typed.meaning) } : null,
    number: a.allowed ? ++number : null,
  }));
}

/** Those to show. Without `emergency`, what is an emergency's only as far as it is possible. */
export function actionGroups(actions: readonly ActionModel[], emergency: boolean): ActionGroupModel[] {
  return GROUPS.map(({ group, title }) => ({
    group,
    title,
    actions: actions.filter((a) => a.group === group && (group !== 'emergency' || emergency || a.allowed)),
  })).filter((g) => g.actions.length > 0);
}

/** Null: it may be asked for. Else why not: a script or a slip must not force anything. */
export function whyNotTyped({ typed, label }: Pick<ActionView, 'typed' | 'label'>, given: string): string | null {
  if (!typed || given === typed.word) return null;
  const wrong = given === '' ? 'it must be typed out' : `'${printable(given).slice(0, 40)}' is not it`;
  return `"${label}" needs the word '${typed.word}' with the request, and ${wrong}. ${typed.meaning}`;
}

/** What an answer brings for whoever asked, to be shown to nobody else and kept nowhere; '': nothing. */
export function shownOf(answer: { accepted: boolean; detail?: Readonly<Record<string, string | number>> }): string {
  const show = answer.accepted ? answer.detail?.['show'] : undefined;
  return typeof show === 'string' ? show : '';
}
