// A guest whose operating system crashes (row 19). Both replicas crash alike, so nobody can go on with it: it is restarted, once. One
// that panics again before it ran for a while would do so for ever, and every restart costs its disk and its users something.
import type { State, Work } from './state.ts';

/** A guest that ran for so long has recovered from what made it crash. */
export const STABLE_MS = 60_000;

/** May it be restarted? Answers the sentence that says why not; null: yes, and this restart counts. */
export function whyNotRestart({ state }: Work, reason: string): string | null {
  const { panicRestart } = state;
  if (panicRestart && panicRestart.startedAt !== null && isRecent(state, panicRestart.startedAt)) {
    const seconds = Math.round((state.now - panicRestart.startedAt) / 1000);
    state.panicRestart = null;
    return `The guest panicked again, ${seconds} s after it was restarted for that (${reason}): it is not restarted a second time. Look at its console and its dump, then start it.`;
  }
  state.panicRestart = { startedAt: null };
  return null;
}

/** The guest runs: from here on it counts whether it panics again. */
export function panicOver({ state }: Work): void {
  if (state.panicRestart?.startedAt === null) state.panicRestart = { startedAt: state.now };
}

/** Until it has run for a while it is not protected: the partner would only crash with it, and restart it once more. */
export function isSettling(state: State): boolean {
  const { panicRestart } = state;
  if (!panicRestart) return false;
  if (panicRestart.startedAt === null || isRecent(state, panicRestart.startedAt)) return true;
  state.panicRestart = null;
  return false;
}

function isRecent(state: State, since: number): boolean {
  return state.now - since < STABLE_MS;
}
