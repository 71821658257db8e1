// What a console knows of the software, and how that changes: by an answer of the server, by a refusal that force would overcome. Pure.

/** The answer of `GET /api/update`. */
export interface UpdatePicture {
  version: string;
  slot: 'a' | 'b';
  trial: { triesLeft: number } | null;
  other: { version: string; isUsable: boolean; text: string } | null;
  received: string | null;
  next: string;
  isBusy: boolean;
  upload?: { received: number; bytes: number; by: string } | null;
  /** Of QEMU; missing or empty: not known. */
  engine?: string;
  /** null: not heard. Missing, like `pair`: this CoServer does not update pairs. */
  partner?: { version: string; onTrial: boolean; received: string | null; givenUp: string | null; engine?: string } | null;
  pair?: {
    target: string;
    state: 'sending' | 'rolling' | 'stopped' | 'done';
    text: string;
    mayRestartGuest: boolean;
    /** It cannot go on without a restart of the guest, and waits for a yes. */
    asksRestartGuest: boolean;
    sent: { bytes: number; of: number; bytesPerSecond: number } | null;
  } | null;
}

export type UpdateVerb = 'start' | 'stop' | 'allowRestart' | 'restart' | 'rollback';

/** What a console knows now. */
export type UpdateState =
  | { kind: 'unknown'; reason: string }
  /** 404: not started from an image. */
  | { kind: 'none' }
  /** forcible: what was refused last and would be done by force, with the refusal. */
  | { kind: 'known'; picture: UpdatePicture; forcible: Partial<Record<UpdateVerb, string>> };

export const NOT_ASKED: UpdateState = { kind: 'unknown', reason: 'It has not been asked yet.' };

/** As they are asked for over the API. */
export const UPDATE_REQUESTS: Readonly<Record<UpdateVerb, (force: boolean) => { path: string; body: object }>> = {
  start: () => ({ path: '/api/update/pair', body: { action: 'start' } }),
  stop: () => ({ path: '/api/update/pair', body: { action: 'stop' } }),
  allowRestart: () => ({ path: '/api/update/pair', body: { action: 'allowRestart', mayRestartGuest: true } }),
  restart: (force) => ({ path: '/api/update/restart', body: { force } }),
  rollback: (force) => ({ path: '/api/update/rollback', body: { force } }),
};

export const isRolling = ({ pair }: UpdatePicture): boolean => pair?.state === 'sending' || pair?.state === 'rolling';

/** It changes soon: look at it often. */
export const isMoving = (s: UpdateState): boolean =>
  s.kind === 'known' && (s.picture.isBusy || s.picture.trial !== null || isRolling(s.picture));

/** What was refused stays known as long as the versions are the same. */
export function seen(before: UpdateState, now: UpdateState): UpdateState {
  if (before.kind !== 'known' || now.kind !== 'known') return now;
  const isSame = before.picture.next === now.picture.next && before.picture.version === now.picture.version;
  return isSame ? { ...now, forcible: before.forcible } : now;
}

/** `refusal`: of a request that force would carry through; null: it was accepted, or force does not help. */
export function answered(before: UpdateState, verb: UpdateVerb, refusal: string | null): UpdateState {
  if (before.kind !== 'known') return before;
  const { [verb]: _, ...others } = before.forcible;
  return { ...before, forcible: refusal === null ? others : { ...others, [verb]: refusal } };
}
