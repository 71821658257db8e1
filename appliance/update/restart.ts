// Starts this server again, in order: the product first leaves the pair (SIGTERM), then init, which finds the wish, restarts the machine.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Snapshot } from '../core/snapshot.ts';
import { UpdateRefusal } from './bundle.ts';

/** init looks for it whenever the product has ended. */
const WISH_FILE = '/run/twinstep/restart';
/** Written by init: the product that it waits for. */
const PID_FILE = '/run/twinstep/product.pid';

/** Why this server must not be started again now; null: it may. Pure. */
export function whyNotRestart(picture: Snapshot | null): string | null {
  if (picture === null) return null;
  const me = picture.coServers.find((c) => c.name === picture.coServer);
  const runs = picture.workload.state === 'running' || picture.workload.state === 'starting' || picture.workload.state === 'held';
  if (!runs || me?.role !== 'primary') return null;
  if (picture.redundancy === 'duplex')
    return 'the workload runs on this CoServer: move it to the other one first (twinstep request move-workload)';
  return `the workload runs on this CoServer, and the other one could not take it over (${picture.redundancySentence})`;
}

/** Throws UpdateRefusal where no init waits for the product. */
export function restartServer(): void {
  prepareRestart()();
}

/** As restartServer, in two steps: whoever asked may be answered before this server goes. */
export function prepareRestart(): () => void {
  const pid = Number(readText(PID_FILE));
  if (!Number.isSafeInteger(pid) || pid < 2)
    throw new UpdateRefusal('notAppliance', 'Nobody here starts this server again: do it by its power button or its BMC.');
  return () => {
    writeFileSync(WISH_FILE, '');
    try {
      process.kill(pid, 'SIGTERM');
    } catch (error) {
      // It has just ended: init finds the wish by itself.
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      rmSync(WISH_FILE, { force: true });
      throw error;
    }
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
