// What an engine's end means, from what it said last and what the guest's console tells. Pure.
//
// The console's words are the guest's: anybody in it can write "Kernel panic" there, and whatever else. So they never overrule the
// engine's own word that the guest switched itself off, and are cut to one short printable line before they are told.
import { LINE_CHARACTERS } from '../../wire/partner-incident.ts';

export interface EngineExitNews {
  cause: 'guestShutdown' | 'guestPanic' | 'crash';
  reason: string;
}

const PANIC = /Kernel panic/;

/** The latest line that tells of a panic, printable and of LINE_CHARACTERS at most. @param guestConsole Of this engine alone. */
export function panicLine(guestConsole: string): string | undefined {
  return guestConsole
    .split('\n')
    .findLast((line) => PANIC.test(line))
    ?.replaceAll(/[^\x20-\x7e]/g, '')
    .trim()
    .slice(0, LINE_CHARACTERS);
}

/** @param guestShutdown The engine's last word: the guest switched itself off. */
export function exitNews(guestShutdown: boolean, guestConsole: string, reason: string): EngineExitNews {
  if (guestShutdown) return { cause: 'guestShutdown', reason };
  const panic = panicLine(guestConsole);
  if (panic) return { cause: 'guestPanic', reason: `${reason}; the guest's console said: ${panic}` };
  return { cause: 'crash', reason };
}
