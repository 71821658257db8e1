// Keys while a setting is being typed: one field after the other, then once more whether it is meant. Pure.
import { fieldAt, type SettingForm, turnedOn, typedInto } from '../settings-views.ts';
import type { Key } from './keys.ts';

/** Longer ones are mistakes of a pasted text. */
const VALUE_MAX_CHARS = 256;

export type FormStep = { kind: 'stay'; form: SettingForm } | { kind: 'ask'; form: SettingForm } | { kind: 'leave' };

export function formKey(form: SettingForm, key: Key): FormStep {
  const stay = (next: SettingForm): FormStep => ({ kind: 'stay', form: next });
  if (key.kind === 'cancel' || key.kind === 'escape') return { kind: 'leave' };
  const field = fieldAt(form);
  if (!field) {
    const isYes = key.kind === 'byte' && String.fromCharCode(key.byte).toLowerCase() === 'y';
    return isYes ? { kind: 'ask', form } : { kind: 'leave' };
  }
  switch (key.kind) {
    case 'enter':
      return stay({ ...form, at: form.at + 1 });
    case 'backspace':
      return stay(typedInto(form, (v) => v.slice(0, -1)));
    case 'byte': {
      const char = String.fromCharCode(key.byte);
      if (field.kind === 'choice') return stay(char === ' ' ? turnedOn(form) : form);
      // Passwords of the first start are ASCII, too.
      return stay(char > '~' ? form : typedInto(form, (v) => (v + char).slice(0, VALUE_MAX_CHARS)));
    }
    case 'move':
      return stay({ ...form, at: Math.max(0, Math.min(form.group.fields.length - 1, form.at + key.direction)) });
    case 'redraw':
      return stay(form);
    default:
      throw new Error(`unknown key ${String(key satisfies never)}`);
  }
}
