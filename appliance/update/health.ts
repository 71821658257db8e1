// Does the version that runs work? What it takes: this process runs, its console answers with a picture, and the partner is heard. A partner that is
// not there must not make a good version bad: after a while the first two are enough. A version that never gets so far is left by init's own
// clock (overlay/usr/lib/twinstep/init), since what does not run cannot judge itself.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot } from '../core/snapshot.ts';
import { UpdateRefusal } from './bundle.ts';
import { localSnapshot } from './local.ts';
import type { News } from './record.ts';
import type { UpdateStore } from './update-store.ts';

/** The partner of a version on trial may be starting itself. Below init's 15 minutes, together with the slowest start. */
export const ALONE_MS = 300_000;
const LOOK_EVERY_MS = 2_000;

/** Pure: `runsForMs` since this process began. */
export function isHealthy(picture: Snapshot | null, runsForMs: number): boolean {
  if (picture === null) return false;
  return runsForMs >= ALONE_MS || picture.coServers.some((c) => c.name !== picture.coServer && c.present);
}

export interface HealthOptions {
  store: Pick<UpdateStore, 'markHealthy' | 'news'>;
  /** Of the consoles. */
  socketPath: string;
  tell: (news: News) => void;
  signal: AbortSignal;
  /** For tests. */
  ask?: () => Promise<Snapshot | null>;
  wait?: (ms: number) => Promise<unknown>;
  now?: () => number;
}

/** Looks until it is healthy, marks it, tells what became of the last update. Never throws: a start must not end by its own health check. */
export async function followHealth({ store, socketPath, tell, signal, ...given }: HealthOptions): Promise<void> {
  const { ask = () => localSnapshot(socketPath), wait = (ms) => sleep(ms, null, { ref: false }), now = () => performance.now() } = given;
  const began = now();
  let complaint = '';
  while (!signal.aborted) {
    try {
      if (isHealthy(await ask(), now() - began)) {
        await store.markHealthy();
        const news = await store.news();
        if (news) tell(news);
        return;
      }
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      // Somebody else's update: soon over. Anything else is told once.
      if (!(error instanceof UpdateRefusal && error.kind === 'busy') && text !== complaint) {
        complaint = text;
        tell({ severity: 'warning', text: `This version works, and could not be marked so: ${text}` });
      }
    }
    await wait(LOOK_EVERY_MS);
  }
}
