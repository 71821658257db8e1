// A new recovery key at the serial console: the old one is typed, the new one is shown once, its last four characters say that it is written down. Pure.
import type { Key } from './keys.ts';
import { BLANK, bold, hanging, type Line, plain } from './layout.ts';

/** Longer than a key with blanks between its groups. */
const TYPED_MAX = 64;

/** Whoever makes them (appliance/encryption). */
export interface RecoveryKeys {
  /** The new key, to be shown; null: the old one is another. Rejects: then the old one counts. */
  begin(oldKey: string): Promise<string | null>;
  /** It is written down: the old one is no longer a key. */
  keep(): Promise<void>;
  /** It is not: the new one is no longer a key. */
  drop(): Promise<void>;
}

export type RecoveryStep = { at: 'old'; typed: string } | { at: 'working' } | { at: 'shown'; recoveryKey: string; typed: string };

export type RecoveryDuty = { kind: 'renew'; oldKey: string } | { kind: 'keepKey' } | { kind: 'dropKey' };

/** null: it is left. */
export interface RecoveryMove {
  step: RecoveryStep | null;
  message: string;
  duty: RecoveryDuty | null;
}

const stay = (step: RecoveryStep, message = ''): RecoveryMove => ({ step, message, duty: null });

export function onRecoveryKey(step: RecoveryStep, key: Key): RecoveryMove {
  if (step.at === 'working') return stay(step);
  switch (key.kind) {
    case 'escape':
    case 'cancel':
      return step.at === 'old'
        ? { step: null, message: 'Nothing was changed.', duty: null }
        : { step: { at: 'working' }, message: '', duty: { kind: 'dropKey' } };
    case 'backspace':
      return stay({ ...step, typed: step.typed.slice(0, -1) });
    case 'byte': {
      const char = String.fromCharCode(key.byte);
      return stay(char >= ' ' && char <= '~' ? { ...step, typed: (step.typed + char).slice(0, TYPED_MAX) } : step);
    }
    case 'enter':
      if (step.at === 'old') return { step: { at: 'working' }, message: '', duty: { kind: 'renew', oldKey: step.typed } };
      if (step.typed.trim().toLowerCase() === step.recoveryKey.slice(-4))
        return { step: { at: 'working' }, message: '', duty: { kind: 'keepKey' } };
      return stay({ ...step, typed: '' }, 'Write all of it down first, then type its last four characters.');
    case 'move':
    case 'redraw':
      return stay(step);
    default:
      return key satisfies never;
  }
}

export function recoveryLines(step: RecoveryStep, width: number): Line[] {
  switch (step.at) {
    case 'old':
      return [
        bold('A new recovery key for the encrypted state of this server'),
        BLANK,
        ...hanging('', 'Type the key that counts now. Without it none is made: then only the TPM opens the state of this server.', width),
      ];
    case 'working':
      return [plain('One moment...')];
    case 'shown':
      return [
        bold('The new recovery key of this server'),
        BLANK,
        bold(`      ${step.recoveryKey}`),
        BLANK,
        ...hanging(
          '',
          'Write it down now, and keep it where the server is not. It is not shown again. As soon as its last four characters are typed here the old key opens nothing any more; destroy what it is written on.',
          width,
        ),
      ];
    default:
      return step satisfies never;
  }
}

/** What is being typed; null: nothing. */
export function recoveryPrompt(step: RecoveryStep): string | null {
  switch (step.at) {
    case 'old':
      return `Recovery key that counts now: ${step.typed}_`;
    case 'shown':
      return `Its last four characters: ${step.typed}_`;
    case 'working':
      return null;
    default:
      return step satisfies never;
  }
}
