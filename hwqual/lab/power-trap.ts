// Sets the product's tripwire (appliance/memory/power-trap.ts): it stops its own process at a point of a checkpoint, and says so
// with a file. What happens then is the caller's: a power failure.
import { readFileSync, renameSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { LabError } from './lab-error.ts';

/** What is asked for, and what the product wrote when it stopped: `byte` of the pages or of the device state, null elsewhere. */
export interface TrapOrder {
  point: string;
  share: number;
  delayMs: number;
}
export interface TrapHit extends TrapOrder {
  byte: number | null;
  /** When it stood still, wall clock ms. */
  at: number;
}

/** Checkpoints come each second at least. */
const TIMEOUT_MS = 10_000;

/** Resolves as soon as the CoServer's process stands still at the point; throws when the point did not come. */
export async function awaitTrap(folder: string, coServer: CoServerName, order: TrapOrder): Promise<TrapHit> {
  const armed = join(folder, `trap-${coServer}.json`);
  const hit = join(folder, `trap-${coServer}.hit`);
  rmSync(hit, { force: true });
  return await new Promise<TrapHit>((resolve, reject) => {
    const watcher = watch(folder, (_, file) => {
      if (file === `trap-${coServer}.hit`) look();
    });
    const finish = (then: () => void) => {
      clearTimeout(timer);
      watcher.close();
      rmSync(armed, { force: true });
      rmSync(hit, { force: true });
      then();
    };
    const timer = setTimeout(
      () => finish(() => reject(new LabError(`CoServer ${coServer} did not come to ${order.point} within ${TIMEOUT_MS / 1000} s`))),
      TIMEOUT_MS,
    );
    const look = () => {
      let text = '';
      try {
        text = readFileSync(hit, 'utf8');
      } catch {
        // Not there: it was another event.
      }
      // Made and written are two events: empty is not yet.
      if (text !== '') finish(() => resolve(JSON.parse(text) as TrapHit));
    };
    // Appears at once, whole.
    writeFileSync(`${armed}.new`, JSON.stringify(order));
    renameSync(`${armed}.new`, armed);
  });
}
