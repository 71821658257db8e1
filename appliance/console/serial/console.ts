// The console on a serial line: a full screen of facts on a byte stream, redrawn where it changed. Looking needs no password (who stands
// at the line could as well pull the plug); asking for an action does. A line that nobody reads costs nothing: while what was
// written has not left, nothing more is written, and then the newest picture is.
import type { Duplex } from 'node:stream';
import { shownOf, whyNotTyped } from '../action-views.ts';
import { LoginLimiter } from '../api/login-limiter.ts';
import { PasswordVerifier } from '../api/password.ts';
import type { ActionRequest, RequestAnswer, SnapshotSource } from '../api/types.ts';
import { type ConsoleModel, consoleModel } from '../model.ts';
import { SETTINGS_NOT_ASKED, type SettingsRequest, settingsState } from '../settings-state.ts';
import type { SettingForm } from '../settings-views.ts';
import { type Dialog, type Duty, freshDialog, onAnswered, onChanged, onKey, onRefused, onRenewed, onTime, onVerified } from './dialog.ts';
import { frame, PAGE_ROWS } from './frame.ts';
import { keyDecoder } from './keys.ts';
import type { RecoveryKeys } from './recovery-dialog.ts';
import { changes, type Grid, gridOf } from './screen.ts';
import { SoftwareDesk, type SoftwareSource } from './software-desk.ts';

/** Twice a second is live to the eye and leaves a 115200 baud line mostly idle. */
const DRAW_INTERVAL_MS = 500;
/** After a key: soon, but a flood of keys is one drawing. */
const KEY_INTERVAL_MS = 40;
/** A terminal may be connected at any time, and kernel messages may have crossed the screen: all is drawn anew now and then. */
const REPAINT_MS = 15_000;
/** A line that was blocked for so long was not being read: whoever reads now sees fragments. */
const BLOCKED_REPAINT_MS = 2_000;

/** By whom it was asked for, as it is recorded; and whose session it is. */
const SERIAL = 'the serial console';

export interface SerialConsoleOptions extends SnapshotSource {
  /** Emits 'data' and takes bytes; may emit 'reopened' when the device came back. */
  stream: Duplex;
  request: ActionRequest;
  /** Missing: this server was not started from an image. */
  updates?: SoftwareSource;
  /** Missing: nothing can be changed here. */
  settings?: SettingsRequest;
  /** Missing: the state of this server is not encrypted. */
  recoveryKeys?: RecoveryKeys;
  /** argon2id, PHC string; '': no actions. */
  passwordHash: string;
  log?: (line: string) => void;
  /** Monotonic ms. */
  nowMs?: () => number;
}

export interface SerialConsole {
  /** From now on; who is signed in is signed out, unless it was asked for here. */
  setPassword(hash: string, session: string): void;
  close(): void;
}

export function startSerialConsole(options: SerialConsoleOptions): SerialConsole {
  const { stream, request, recoveryKeys } = options;
  const nowMs = options.nowMs ?? (() => performance.now());
  const password = new PasswordVerifier(options.passwordHash);
  const limiter = new LoginLimiter();
  const software = new SoftwareDesk(options.updates, nowMs);
  const model = (): ConsoleModel =>
    consoleModel(options.snapshot(), software.state, dialog.page === 'settings' ? settingsState(options.settings) : SETTINGS_NOT_ASKED);
  const decode = keyDecoder();
  let dialog: Dialog = freshDialog(nowMs());
  let shown: Grid | null = null;
  let repaintAt = 0;
  let blockedSince: number | null = null;
  let timer: NodeJS.Timeout | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  let drawnAt = Number.NEGATIVE_INFINITY;
  let closed = false;

  const draw = (): void => {
    timer = undefined;
    dueAt = Number.POSITIVE_INFINITY;
    if (closed) return;
    const now = nowMs();
    drawnAt = now;
    const before = dialog.mode.kind;
    dialog = onTime(dialog, now);
    // Nobody has said that the new key is written down.
    if (before === 'recovery' && dialog.mode.kind !== 'recovery') run(recoveryKeys?.drop() ?? Promise.resolve());
    if (blockedSince === null) {
      if (dialog.page === 'software') software.look(() => soon(DRAW_INTERVAL_MS));
      const picture = frame(model(), dialog, recoveryKeys !== undefined);
      dialog = { ...dialog, scroll: picture.scroll };
      const wanted = gridOf(picture.lines);
      if (now >= repaintAt) {
        shown = null;
        repaintAt = now + REPAINT_MS;
      }
      const bytes = changes(shown, wanted);
      shown = wanted;
      if (bytes !== '' && !stream.write(bytes, 'latin1')) blockedSince = now;
    }
    schedule(1000);
  };
  const schedule = (inMs: number): void => {
    const at = nowMs() + inMs;
    if (closed || at >= dueAt) return;
    clearTimeout(timer);
    dueAt = at;
    timer = setTimeout(draw, inMs);
  };
  const soon = (intervalMs: number): void => schedule(Math.max(0, drawnAt + intervalMs - nowMs()));
  const repaint = (): void => {
    repaintAt = 0;
    soon(KEY_INTERVAL_MS);
  };

  const verify = async (typed: string): Promise<void> => {
    const admission = limiter.admit('serial', nowMs());
    let right = false;
    let message = 'Wrong password.';
    if (password.unset) message = 'No password is set: put console.passwordHash into the configuration.';
    else if (!admission.admitted) message = `Too many attempts: try again in ${admission.retryAfterS} s.`;
    else {
      const check = await password.check(typed);
      right = check === 'right';
      if (right) limiter.succeeded('serial');
      options.log?.(`serial console: sign-in ${right ? 'accepted' : 'refused: wrong password'}`);
    }
    dialog = onVerified(dialog, right, message);
  };
  const ask = async (name: string, typed: string): Promise<void> => {
    if (dialog.page === 'software') {
      const message = await software.ask(name, typed, SERIAL);
      options.log?.(`serial console: ${name}: ${message}`);
      dialog = onAnswered(dialog, message);
      return;
    }
    const action = options.snapshot().actions.find((a) => a.name === name);
    const untyped = action ? whyNotTyped(action, typed) : null;
    const answer: RequestAnswer = untyped === null ? await request(name, {}, SERIAL) : { accepted: false, reason: untyped };
    options.log?.(`serial console: action ${name}: ${answer.accepted ? 'accepted' : `refused: ${answer.reason}`}`);
    const told = answer.accepted ? 'Accepted: the events page says what happens.' : `Refused: ${answer.reason}`;
    dialog = onAnswered(dialog, told, shownOf(answer));
  };
  const change = async (form: SettingForm): Promise<void> => {
    const { group, values, canAccept } = form;
    if (!options.settings) return;
    const how = { via: 'serial', by: SERIAL, session: SERIAL, isAccepted: canAccept } as const;
    const answer = await options.settings.change(group.name, values, how);
    options.log?.(`serial console: setting ${group.name}: ${answer.accepted ? 'changed' : `refused: ${answer.reason}`}`);
    dialog = answer.accepted
      ? onChanged(dialog, `${answer.detail?.['text'] ?? 'Changed.'}`)
      : onRefused(dialog, form, answer.reason, answer.canForce === true);
  };
  const renew = async (oldKey: string): Promise<void> => {
    const recoveryKey = (await recoveryKeys?.begin(oldKey)) ?? null;
    options.log?.(`serial console: a new recovery key: ${recoveryKey === null ? 'refused: the old one is another' : 'made'}`);
    dialog = onRenewed(dialog, recoveryKey);
    // Whoever asked has gone.
    if (recoveryKey !== null && dialog.mode.kind !== 'recovery') await recoveryKeys?.drop();
  };
  const settle = async (isKept: boolean): Promise<void> => {
    await (isKept ? recoveryKeys?.keep() : recoveryKeys?.drop());
    options.log?.(`serial console: the new recovery key ${isKept ? 'counts, the old one no longer' : 'is given up, the old one counts'}`);
    dialog = onAnswered(
      dialog,
      isKept ? 'The new recovery key counts; the old one opens nothing any more.' : 'The old recovery key still counts.',
    );
  };
  const obey = (duty: Duty): void => {
    switch (duty.kind) {
      case 'redraw':
        repaint();
        return;
      case 'verify':
        run(verify(duty.password));
        return;
      case 'ask':
        run(ask(duty.action, duty.typed));
        return;
      case 'change':
        run(change(duty.form));
        return;
      case 'renew':
        run(renew(duty.oldKey));
        return;
      case 'keepKey':
        run(settle(true));
        return;
      case 'dropKey':
        run(settle(false));
        return;
      default:
        duty satisfies never;
    }
  };
  const run = (work: Promise<void>): void => {
    work
      .catch((error: Error) => {
        options.log?.(`serial console: ${error.message}`);
        dialog = onAnswered(dialog, 'That failed; the log says why.');
      })
      .finally(() => soon(KEY_INTERVAL_MS));
  };

  const onData = (bytes: Buffer): void => {
    const choices = { ...model(), hasRecoveryKey: recoveryKeys !== undefined };
    for (const key of decode(bytes)) {
      const step = onKey(dialog, key, choices, PAGE_ROWS, nowMs());
      dialog = step.dialog;
      if (step.duty) obey(step.duty);
    }
    soon(KEY_INTERVAL_MS);
  };
  const onDrain = (): void => {
    if (blockedSince !== null && nowMs() - blockedSince > BLOCKED_REPAINT_MS) repaintAt = 0;
    blockedSince = null;
    soon(DRAW_INTERVAL_MS);
  };
  const onReopened = (): void => {
    // Whoever is there now need not be who signed in.
    dialog = freshDialog(nowMs());
    blockedSince = null;
    repaint();
  };
  const unsubscribe = options.onChange(() => soon(DRAW_INTERVAL_MS));
  const close = (): void => {
    if (closed) return;
    closed = true;
    clearTimeout(timer);
    unsubscribe();
    stream.off('data', onData);
    stream.off('drain', onDrain);
    stream.off('opened', onReopened);
    stream.off('reopened', onReopened);
    stream.off('close', close);
    // The terminal is left usable: plain letters, wrapping, a cursor, at the last row.
    if (stream.writable) stream.write('\u001b[0m\u001b[?7h\u001b[?25h\u001b[24;1H\r\n');
  };
  stream.on('data', onData);
  stream.on('drain', onDrain);
  // What was drawn before the device was open went nowhere.
  stream.on('opened', onReopened);
  stream.on('reopened', onReopened);
  stream.on('close', close);
  draw();
  const setPassword = (hash: string, session: string): void => {
    password.change(hash);
    if (session !== SERIAL) dialog = freshDialog(nowMs());
    soon(KEY_INTERVAL_MS);
  };
  return { setPassword, close };
}
