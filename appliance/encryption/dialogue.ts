// Two short dialogues before the state partition is there: whether it is encrypted (a new one, on a server with a TPM), and the recovery key of one
// that the TPM does not open. Pure: (state, what happened) -> state and duties.
//
//   question -> making -> key -> ended            locked -> trying -> (refused: locked) | ended
import type { Key } from '../console/serial/keys.ts';
import { lastGroup, readRecoveryKey } from './recovery-key.ts';

/** A recovery key with all that may be typed between its characters. */
const TYPED_MAX_CHARS = 64;

export interface StateDialogue {
  page: 'question' | 'making' | 'key' | 'locked' | 'trying' | 'ended';
  /** On page question. */
  wanted: 'none' | 'tpm2';
  typed: string;
  /** On page key; '' everywhere else. */
  recoveryKey: string;
  message: string;
  /** Why the TPM has not opened it. */
  why: string;
  /** An answer file has answered: nobody need be there. */
  isUnattended: boolean;
}

export type StateEvent =
  | { kind: 'key'; key: Key }
  /** An answer file was found. */
  | { kind: 'file'; encryption: 'none' | 'tpm2' }
  | { kind: 'fileWrong'; problem: string }
  | { kind: 'made'; recoveryKey: string }
  | { kind: 'failed'; problem: string }
  /** Nobody was there to write it down. */
  | { kind: 'shownLong' }
  | { kind: 'refused' }
  /** It was not about the key. */
  | { kind: 'lockFailed'; problem: string }
  | { kind: 'opened' };

export type StateDuty =
  | { kind: 'make' }
  | { kind: 'try'; recoveryKey: string }
  /** Begins to count the time that a key is shown to nobody. */
  | { kind: 'showLong' }
  | { kind: 'redraw' }
  | { kind: 'end'; isEncrypted: boolean };

export interface StateStep {
  state: StateDialogue;
  duties: StateDuty[];
}

const EMPTY: StateDialogue = { page: 'question', wanted: 'none', typed: '', recoveryKey: '', message: '', why: '', isUnattended: false };
export const firstQuestion = (): StateDialogue => EMPTY;
export const lockedQuestion = (why: string): StateDialogue => ({ ...EMPTY, page: 'locked', why });

const stay = (state: StateDialogue, ...duties: StateDuty[]): StateStep => ({ state, duties });
const end = (state: StateDialogue, isEncrypted: boolean): StateStep =>
  stay({ ...state, page: 'ended', typed: '', recoveryKey: '', message: '' }, { kind: 'end', isEncrypted });
const make = (state: StateDialogue): StateStep => stay({ ...state, page: 'making', wanted: 'tpm2', message: '' }, { kind: 'make' });

export function stateStep(state: StateDialogue, event: StateEvent): StateStep {
  switch (event.kind) {
    case 'key':
      return event.key.kind === 'redraw' ? stay(state, { kind: 'redraw' }) : onKey({ ...state, message: '' }, event.key);
    case 'file':
      if (state.page !== 'question') return stay(state);
      return event.encryption === 'none' ? end(state, false) : make({ ...state, isUnattended: true });
    case 'fileWrong':
      return stay(state.page === 'question' ? { ...state, message: event.problem } : state);
    case 'made':
      return stay(
        { ...state, page: 'key', recoveryKey: event.recoveryKey, typed: '', message: '' },
        ...(state.isUnattended ? [{ kind: 'showLong' } as const] : []),
      );
    case 'failed':
      // By a person from here on: the same file would fail the same way.
      return stay({ ...state, page: 'question', message: event.problem, isUnattended: false });
    case 'shownLong':
      return state.page === 'key' && state.isUnattended ? end(state, true) : stay(state);
    case 'refused':
      return stay({ ...state, page: 'locked', typed: '', message: 'That key does not open it: look at it again, character by character.' });
    case 'lockFailed':
      return stay({ ...state, page: 'locked', message: event.problem });
    case 'opened':
      return end(state, true);
    default:
      return event satisfies never;
  }
}

function onKey(state: StateDialogue, key: Key): StateStep {
  switch (state.page) {
    case 'question':
      if (key.kind === 'enter') return state.wanted === 'tpm2' ? make(state) : end(state, false);
      return key.kind === 'byte' ? stay({ ...state, wanted: chosen(state.wanted, String.fromCharCode(key.byte)) }) : stay(state);
    case 'key':
      if (key.kind !== 'enter') return stay({ ...state, isUnattended: false, typed: typed(state.typed, key) });
      if (state.typed.trim().toLowerCase() === lastGroup(state.recoveryKey)) return end(state, true);
      return stay({ ...state, typed: '', message: 'Write all of it down first, then type its last four characters.' });
    case 'locked': {
      if (key.kind !== 'enter') return stay({ ...state, typed: typed(state.typed, key) });
      const recoveryKey = readRecoveryKey(state.typed);
      if (recoveryKey === null)
        return stay({ ...state, message: 'A recovery key has 32 letters and digits in eight groups; there is no u in it.' });
      return stay({ ...state, page: 'trying' }, { kind: 'try', recoveryKey });
    }
    case 'making':
    case 'trying':
    case 'ended':
      return stay(state);
    default:
      return state.page satisfies never;
  }
}

/** Space changes it, as on all pages; y and n, too. */
function chosen(wanted: StateDialogue['wanted'], char: string): StateDialogue['wanted'] {
  switch (char.toLowerCase()) {
    case ' ':
      return wanted === 'none' ? 'tpm2' : 'none';
    case 'y':
      return 'tpm2';
    case 'n':
      return 'none';
    default:
      return wanted;
  }
}

function typed(text: string, key: Key): string {
  if (key.kind === 'backspace') return text.slice(0, -1);
  if (key.kind === 'cancel' || key.kind === 'escape') return '';
  const char = key.kind === 'byte' ? String.fromCharCode(key.byte) : '';
  return char >= ' ' && char <= '~' && text.length < TYPED_MAX_CHARS ? text + char : text;
}
