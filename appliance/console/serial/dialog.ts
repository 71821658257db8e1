// What the serial console is doing, as a pure state: which page, how far scrolled, whether a password is being typed, what is asked.
// Keys come in, what must be done (verify, ask) comes out; time comes in as an argument.
import type { ActionModel, ConsoleModel } from '../model.ts';
import { formOf, refusedForm, type SettingForm } from '../settings-views.ts';
import { formKey } from './form-keys.ts';
import type { Key } from './keys.ts';
import { actionsOn, evidencedEvents, PAGES, type Page } from './pages.ts';
import { onRecoveryKey, type RecoveryDuty, type RecoveryStep } from './recovery-dialog.ts';

/** An operator who walked away is signed out. */
export const IDLE_SIGN_OUT_MS = 5 * 60_000;
const PASSWORD_MAX_BYTES = 256;

export type Mode =
  | { kind: 'view' }
  | { kind: 'password'; typed: readonly number[] }
  /** emergency: those that are not possible now are shown too. */
  | { kind: 'actions'; emergency: boolean }
  | { kind: 'confirm'; action: ActionModel }
  /** An action that can lose data: its word is being typed. */
  | { kind: 'word'; action: ActionModel; word: string; typed: string }
  /** A setting is being typed. */
  | { kind: 'form'; form: SettingForm }
  /** What an answer brought, until a key is pressed. */
  | { kind: 'shown'; text: string; isSecret: boolean }
  /** A new recovery key is being made. */
  | { kind: 'recovery'; step: RecoveryStep }
  /** A password is being verified or an action asked for. */
  | { kind: 'waiting' };

export interface Dialog {
  page: Page;
  /** The incident or the event whose evidence is shown; null: the list. */
  evidence: string | null;
  scroll: number;
  mode: Mode;
  signedIn: boolean;
  lastKeyAt: number;
  message: string;
}

export type Duty =
  | { kind: 'verify'; password: string }
  | { kind: 'ask'; action: string; typed: string }
  | { kind: 'change'; form: SettingForm }
  | { kind: 'redraw' }
  | RecoveryDuty;

export interface Step {
  dialog: Dialog;
  duty: Duty | null;
}

export const freshDialog = (now: number): Dialog => ({
  page: 'overview',
  evidence: null,
  scroll: 0,
  mode: { kind: 'view' },
  signedIn: false,
  lastKeyAt: now,
  message: '',
});

/** What keys can choose from. */
export type Choices = Pick<ConsoleModel, 'actions' | 'software' | 'settings' | 'incidents' | 'events'> & {
  /** The state of this server is encrypted. */
  hasRecoveryKey: boolean;
};

export function onKey(d: Dialog, key: Key, choices: Choices, pageRows: number, now: number): Step {
  const dialog: Dialog = { ...onTime(d, now), lastKeyAt: now };
  if (key.kind === 'redraw') return { dialog, duty: { kind: 'redraw' } };
  switch (dialog.mode.kind) {
    case 'view':
      return viewKey({ ...dialog, message: '' }, key, choices, pageRows);
    case 'password':
      return passwordKey(dialog, dialog.mode.typed, key);
    case 'actions':
      if (mayRenew(dialog, choices) && isLetter(key, 'r'))
        return stay({ ...dialog, mode: { kind: 'recovery', step: { at: 'old', typed: '' } }, scroll: 0, message: '' });
      return actionKey({ ...dialog, message: '' }, dialog.mode, key, choices, pageRows);
    case 'confirm':
      return isLetter(key, 'y') ? ask(dialog, dialog.mode.action, '') : stay({ ...dialog, mode: ACTIONS, message: 'Not asked.' });
    case 'word':
      return wordKey(dialog, dialog.mode, key);
    case 'form':
      return onForm(dialog, dialog.mode.form, key);
    case 'recovery': {
      const { step, message, duty } = onRecoveryKey(dialog.mode.step, key);
      return { dialog: { ...dialog, mode: step === null ? ACTIONS : { kind: 'recovery', step }, message }, duty };
    }
    case 'shown':
      return stay({ ...dialog, mode: ACTIONS });
    case 'waiting':
      return stay(dialog);
    default:
      throw new Error(`unknown mode ${String(dialog.mode satisfies never)}`);
  }
}

function onForm(dialog: Dialog, form: SettingForm, key: Key): Step {
  const step = formKey(form, key);
  switch (step.kind) {
    case 'stay':
      return stay({ ...dialog, mode: { kind: 'form', form: step.form }, message: '' });
    case 'leave':
      return stay({ ...dialog, mode: ACTIONS, message: 'Nothing was changed.' });
    case 'ask':
      return { dialog: { ...dialog, mode: { kind: 'waiting' }, message: 'Asked...' }, duty: { kind: 'change', form: step.form } };
    default:
      return step satisfies never;
  }
}

const ACTIONS: Mode = { kind: 'actions', emergency: false };

/** Beside what this server says of itself. */
export const mayRenew = (d: Dialog, { hasRecoveryKey }: Pick<Choices, 'hasRecoveryKey'>): boolean =>
  hasRecoveryKey && d.page === 'hardware';

const ask = (dialog: Dialog, action: ActionModel, typed: string): Step => ({
  dialog: { ...dialog, mode: { kind: 'waiting' }, message: 'Asked...' },
  duty: { kind: 'ask', action: action.name, typed },
});

/** Signs out after idle time. The same object when nothing changes. */
export function onTime(d: Dialog, now: number): Dialog {
  const busy = d.signedIn || d.mode.kind === 'password';
  if (!busy || now - d.lastKeyAt < IDLE_SIGN_OUT_MS) return d;
  return { ...d, signedIn: false, mode: { kind: 'view' }, scroll: 0, message: 'Signed out: nobody pressed a key.' };
}

export function onVerified(d: Dialog, right: boolean, message: string): Dialog {
  return right ? { ...d, signedIn: true, mode: ACTIONS, scroll: 0, message: '' } : { ...d, mode: { kind: 'view' }, message };
}

/** @param show Lines for whoever asked; only while that one is signed in. */
export function onAnswered(d: Dialog, message: string, show = ''): Dialog {
  if (show !== '' && d.signedIn) return { ...d, mode: { kind: 'shown', text: show, isSecret: true }, scroll: 0, message: '' };
  return { ...d, mode: d.signedIn ? ACTIONS : { kind: 'view' }, scroll: 0, message };
}

/** What came of a change, in sentences. */
export function onChanged(d: Dialog, text: string): Dialog {
  return d.signedIn ? { ...d, mode: { kind: 'shown', text, isSecret: false }, scroll: 0, message: '' } : onAnswered(d, 'Changed.');
}

/** Refused: it is typed on, or accepted with what stands against it. */
export function onRefused(d: Dialog, form: SettingForm, reason: string, canAccept: boolean): Dialog {
  return d.signedIn
    ? { ...d, mode: { kind: 'form', form: refusedForm(form, reason, canAccept) }, scroll: 0, message: '' }
    : onAnswered(d, reason);
}

/** @param recoveryKey The new one; null: the old one was wrong. Shown only to who is still signed in. */
export function onRenewed(d: Dialog, recoveryKey: string | null): Dialog {
  if (!d.signedIn || d.mode.kind !== 'recovery') return d;
  return recoveryKey === null
    ? { ...d, mode: { kind: 'recovery', step: { at: 'old', typed: '' } }, message: 'That is not the recovery key of this server.' }
    : { ...d, mode: { kind: 'recovery', step: { at: 'shown', recoveryKey, typed: '' } }, message: '' };
}

function viewKey(dialog: Dialog, key: Key, choices: Choices, pageRows: number): Step {
  // 1 to 9, then 0.
  const page = key.kind === 'byte' && key.byte >= 0x30 && key.byte <= 0x39 ? PAGES[(key.byte - 0x31 + 10) % 10] : undefined;
  if (page) return stay({ ...dialog, page, evidence: null, scroll: 0 });
  const unfolds = dialog.page === 'incidents' ? choices.incidents : dialog.page === 'events' ? evidencedEvents(choices.events) : null;
  if (key.kind === 'enter' && unfolds) {
    // By its key, not its place: new ones may come while one is read. Behind the oldest comes the list again.
    const next = dialog.evidence === null ? 0 : unfolds.findIndex((i) => i.key === dialog.evidence) + 1;
    const gone = dialog.evidence !== null && next === 0;
    return stay({ ...dialog, evidence: gone ? null : (unfolds[next]?.key ?? null), scroll: 0 });
  }
  if (isLetter(key, 'a'))
    return stay(dialog.signedIn ? { ...dialog, mode: ACTIONS, scroll: 0 } : { ...dialog, mode: { kind: 'password', typed: [] } });
  if (isLetter(key, 'q') && dialog.signedIn) return stay({ ...dialog, signedIn: false, message: 'Signed out.' });
  return stay(scrolled(dialog, key, pageRows));
}

function passwordKey(dialog: Dialog, typed: readonly number[], key: Key): Step {
  switch (key.kind) {
    case 'byte':
      return stay(typed.length < PASSWORD_MAX_BYTES ? { ...dialog, mode: { kind: 'password', typed: [...typed, key.byte] } } : dialog);
    case 'backspace':
      return stay({ ...dialog, mode: { kind: 'password', typed: typed.slice(0, -1) } });
    case 'enter':
      if (typed.length === 0) return stay({ ...dialog, mode: { kind: 'view' }, message: '' });
      return { dialog: { ...dialog, mode: { kind: 'waiting' }, message: 'Checking...' }, duty: { kind: 'verify', password: utf8(typed) } };
    case 'escape':
    case 'cancel':
      return stay({ ...dialog, mode: { kind: 'view' }, message: 'Not signed in.' });
    case 'move':
    case 'redraw':
      return stay(dialog);
    default:
      throw new Error(`unknown key ${String(key satisfies never)}`);
  }
}

function actionKey(dialog: Dialog, mode: Extract<Mode, { kind: 'actions' }>, key: Key, choices: Choices, pageRows: number): Step {
  if (isLetter(key, 'q')) return stay({ ...dialog, signedIn: false, mode: { kind: 'view' }, scroll: 0, message: 'Signed out.' });
  if (key.kind === 'escape' || key.kind === 'cancel' || key.kind === 'enter') return stay({ ...dialog, mode: { kind: 'view' }, scroll: 0 });
  if (isLetter(key, 'e')) return stay({ ...dialog, mode: { ...mode, emergency: !mode.emergency } });
  const number = key.kind === 'byte' ? key.byte - 0x30 : 0;
  const action = actionsOn(dialog.page, choices).find((a) => a.number === number);
  if (!action) return stay(scrolled(dialog, key, pageRows));
  const group = dialog.page === 'settings' ? choices.settings.groups.find((g) => g.name === action.name) : undefined;
  if (group) return stay({ ...dialog, mode: { kind: 'form', form: formOf(group) }, scroll: 0 });
  if (action.typed) return stay({ ...dialog, mode: { kind: 'word', action, word: action.typed.word, typed: '' }, scroll: 0 });
  return stay({ ...dialog, mode: { kind: 'confirm', action } });
}

/** Longer than any word: a flood of keys stays bounded. */
const WORD_MAX = 32;

function wordKey(dialog: Dialog, mode: Extract<Mode, { kind: 'word' }>, key: Key): Step {
  const { action, word, typed } = mode;
  switch (key.kind) {
    case 'byte':
      return stay({ ...dialog, message: '', mode: { ...mode, typed: (typed + String.fromCharCode(key.byte)).slice(0, WORD_MAX) } });
    case 'backspace':
      return stay({ ...dialog, mode: { ...mode, typed: typed.slice(0, -1) } });
    case 'enter':
      return typed === word ? ask(dialog, action, typed) : stay({ ...dialog, mode: ACTIONS, message: `Not asked: that is not '${word}'.` });
    case 'escape':
    case 'cancel':
      return stay({ ...dialog, mode: ACTIONS, message: 'Not asked.' });
    case 'move':
    case 'redraw':
      return stay(dialog);
    default:
      throw new Error(`unknown key ${String(key satisfies never)}`);
  }
}

function scrolled(dialog: Dialog, key: Key, pageRows: number): Dialog {
  const page = Math.max(1, pageRows - 1);
  const by =
    key.kind === 'move'
      ? key.direction * (key.by === 'page' ? page : 1)
      : isLetter(key, 'n') || isLetter(key, ' ')
        ? page
        : isLetter(key, 'p')
          ? -page
          : 0;
  return by === 0 ? dialog : { ...dialog, scroll: Math.max(0, dialog.scroll + by) };
}

const stay = (dialog: Dialog): Step => ({ dialog, duty: null });

const isLetter = (key: Key, letter: string): boolean => key.kind === 'byte' && String.fromCharCode(key.byte).toLowerCase() === letter;

const utf8 = (bytes: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(bytes));
