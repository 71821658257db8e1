// The threads of this process come before the engine's: a heartbeat that waits for a CPU looks like a dead server.
import { existsSync, writeFileSync } from 'node:fs';
import os from 'node:os';

/** Niceness of all threads of the process; the engine is started back at 0. */
export const PROCESS_PRIORITY = -15;

const AUTOGROUP = '/proc/self/autogroup';

/** Before any worker thread starts: threads inherit it. Answers why it could not be done, or null. */
export function raisePriority(): string | null {
  try {
    os.setPriority(0, PROCESS_PRIORITY);
    // Where the kernel groups by session (autogroup), niceness counts only within the group: the group has its own.
    if (existsSync(AUTOGROUP)) writeFileSync(AUTOGROUP, String(PROCESS_PRIORITY));
    return null;
  } catch (e) {
    return (e as Error).message;
  }
}
