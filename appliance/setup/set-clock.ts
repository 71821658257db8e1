// Sets this server's clock, and the one that goes on without power.
import { runProgram } from '../console/cli/programs.ts';

/** Answers what went wrong, a sentence; null: it is set. @param atMs ms since 1970. */
export async function setClock(atMs: number): Promise<string | null> {
  try {
    await runProgram('date', ['-u', '-s', `@${Math.round(atMs / 1000)}`], 'coreutils');
  } catch (error) {
    return `The clock could not be set: ${(error as Error).message}. Leave the answer empty to go on without.`;
  }
  // A server whose battery is empty keeps the time until it is switched off.
  await runProgram('busybox', ['hwclock', '-u', '-w'], 'busybox-static').catch(() => undefined);
  return null;
}
