// The settings in words, and a form that is filled in: the same on every console. Pure.
import { printable } from './format.ts';
import { type SettingField, type SettingGroup, type SettingsState, valuesOf } from './settings-state.ts';
import type { ActionModel } from './view-models.ts';

export interface SettingsModel {
  /** Why nothing is shown; ''. */
  trouble: string;
  groups: SettingGroup[];
  /** One for each that may be changed, for consoles whose keys are digits. */
  actions: ActionModel[];
}

export function settingsModel(state: SettingsState): SettingsModel {
  if (state.kind === 'unknown') return { trouble: printable(state.reason), groups: [], actions: [] };
  const groups = state.picture.groups.map((g) => ({
    ...g,
    title: printable(g.title),
    now: printable(g.now),
    effect: printable(g.effect),
    whyNot: printable(g.whyNot),
  }));
  let number = 0;
  return {
    trouble: '',
    groups,
    actions: groups.map((g) => ({
      name: g.name,
      label: g.title,
      allowed: g.whyNot === '',
      reason: g.whyNot,
      group: 'settings',
      typed: null,
      number: g.whyNot === '' ? ++number : null,
    })),
  };
}

/** A form on a screen with one row for what is typed. */
export interface SettingForm {
  group: SettingGroup;
  /** Of the field that is being typed; behind the last one: all are. */
  at: number;
  values: Readonly<Record<string, string>>;
  /** What was wrong with it when it was asked for; ''. */
  problem: string;
  /** What stands against it can be accepted: it is asked for again. */
  canAccept: boolean;
}

export const formOf = (group: SettingGroup): SettingForm => ({ group, at: 0, values: valuesOf(group, {}), problem: '', canAccept: false });

export const fieldAt = ({ group, at }: SettingForm): SettingField | null => group.fields[at] ?? null;

export function typedInto(form: SettingForm, change: (value: string) => string): SettingForm {
  const field = fieldAt(form);
  if (!field || field.kind === 'choice') return form;
  return { ...form, values: { ...form.values, [field.id]: change(form.values[field.id] ?? '') } };
}

/** The next of its choices. */
export function turnedOn(form: SettingForm): SettingForm {
  const field = fieldAt(form);
  if (!field || field.kind !== 'choice') return form;
  const at = field.choices.findIndex((c) => c.value === form.values[field.id]);
  const next = field.choices[(at + 1) % field.choices.length];
  return next ? { ...form, values: { ...form.values, [field.id]: next.value } } : form;
}

/** Refused: from the first field on, secrets typed anew. */
export function refusedForm(form: SettingForm, problem: string, canAccept: boolean): SettingForm {
  if (canAccept) return { ...form, problem, canAccept };
  const secrets = Object.fromEntries(form.group.fields.filter((f) => f.kind === 'secret').map((f) => [f.id, '']));
  return { ...form, at: 0, problem, canAccept, values: { ...form.values, ...secrets } };
}

/** As it is shown: a secret as stars. */
export function shownValue(field: SettingField, value: string): string {
  switch (field.kind) {
    case 'secret':
      return '*'.repeat(Math.min(40, value.length));
    case 'choice':
      return printable(field.choices.find((c) => c.value === value)?.text ?? value);
    case 'text':
      return printable(value);
    default:
      return field.kind satisfies never;
  }
}
