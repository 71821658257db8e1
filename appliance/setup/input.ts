// What a person does to the fields of a page: keys of a terminal, or a form of the browser's page. Pure. What follows from it is the dialogue's.
import type { Key } from '../console/serial/keys.ts';
import { type Field, fieldsOf, PORT_FIELD } from './fields.ts';
import { ROLES, type Role } from './roles.ts';
import { cablingOf, type SetupFacts, type SetupForm, type SetupState } from './state.ts';

/** Longer ones are mistakes of a pasted text. */
export const TEXT_MAX_CHARS = 256;
const ASCII_ONLY = 'Only the letters, digits and signs of ASCII can be typed here.';

export interface Input {
  state: SetupState;
  /** 'on': the page is answered, as far as who answers is concerned. */
  turn: 'stay' | 'on' | 'back';
}

const stay = (state: SetupState): Input => ({ state, turn: 'stay' });

/** Fields come and go with what is around. */
export function withinFields(state: SetupState, facts: SetupFacts): SetupState {
  const last = Math.max(0, fieldsOf(state, facts).length - 1);
  return state.cursor > last ? { ...state, cursor: last } : state;
}

export const roleOf = (text: string): Role => ROLES.find((r) => r === text) ?? 'none';

export function keyInput(before: SetupState, key: Exclude<Key, { kind: 'redraw' }>, facts: SetupFacts): Input {
  const state = withinFields({ ...before, message: '' }, facts);
  const fields = fieldsOf(state, facts);
  const field = fields[state.cursor];
  switch (key.kind) {
    case 'enter':
      return state.cursor < fields.length - 1 ? stay({ ...state, cursor: state.cursor + 1 }) : { state, turn: 'on' };
    case 'cancel':
    case 'escape':
      return { state, turn: 'back' };
    case 'move':
      if (key.by === 'page') return { state, turn: key.direction === -1 ? 'back' : 'on' };
      return stay({ ...state, cursor: Math.max(0, Math.min(fields.length - 1, state.cursor + key.direction)) });
    case 'backspace':
      return stay(field && field.kind !== 'choice' ? put(state, field, field.value.slice(0, -1), facts) : state);
    case 'byte':
      return stay(field ? typed(state, field, String.fromCharCode(key.byte), facts) : state);
    default:
      throw new Error(`unknown key ${String(key satisfies never)}`);
  }
}

function typed(state: SetupState, field: Field, char: string, facts: SetupFacts): SetupState {
  if (field.kind !== 'choice') {
    if (char < ' ' || char > '~') return { ...state, message: ASCII_ONLY };
    return field.value.length < TEXT_MAX_CHARS ? put(state, field, field.value + char, facts) : state;
  }
  const at = field.choices.findIndex((c) => c.value === field.value);
  const wanted = char === ' ' ? field.choices[(at + 1) % field.choices.length] : byLetter(field, char, at);
  return wanted ? put(state, field, wanted.value, facts) : state;
}

/** The next choice that begins so; 'coserver b' by its last letter. */
function byLetter(field: Field, char: string, at: number) {
  const letter = char.toLowerCase();
  const begins = (value: string): boolean => value.toLowerCase().startsWith(letter);
  return field.choices
    .map((_, i) => field.choices[(at + 1 + i) % field.choices.length])
    .find((c) => c && (begins(c.value) || begins(c.text)));
}

function put(state: SetupState, field: Field, value: string, facts: SetupFacts): SetupState {
  if (field.id.startsWith(PORT_FIELD))
    return { ...state, roles: { ...cablingOf(state, facts).roles, [field.id.slice(PORT_FIELD.length)]: roleOf(value) } };
  if (field.question !== null) return { ...state, values: { ...state.values, [field.question]: value } };
  return { ...state, typed: { ...state.typed, [field.id]: value } };
}

/** One value may bring further fields, so they are gone through until there is no other. What names no field of the page is passed over. */
export function formInput(before: SetupState, { values, turn }: SetupForm, facts: SetupFacts): Input {
  const wanted = new Map(Object.entries(values));
  let state = withinFields({ ...before, message: '' }, facts);
  for (;;) {
    const at = fieldsOf(state, facts).findIndex((f) => wanted.has(f.id));
    const field = fieldsOf(state, facts)[at];
    if (!field) return { state, turn };
    const value = wanted.get(field.id) ?? '';
    wanted.delete(field.id);
    const problem = field.kind === 'choice' ? choiceProblem(field, value) : textProblem(value);
    if (problem !== null) return stay({ ...state, cursor: at, message: problem });
    state = put({ ...state, cursor: at }, field, value, facts);
  }
}

const choiceProblem = (field: Field, value: string): string | null =>
  field.choices.some((c) => c.value === value) ? null : `${field.label}: '${value}' is none of the choices.`;

function textProblem(value: string): string | null {
  if (value.length > TEXT_MAX_CHARS) return `At most ${TEXT_MAX_CHARS} characters have room here.`;
  return /^[ -~]*$/.test(value) ? null : ASCII_ONLY;
}
