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
/** A disk that takes no writes rarely does soon: each try reads and writes it. */
const TRY_AGAIN_MS = 60_000;
/** What still cannot be marked is told again: a timeline scrolls. */
const TELL_AGAIN_MS = 6 * 3_600_000;

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
  /** It works, whether or not that can be written: init's clock of the trial leaves it alone then. */
  onHealthy: () => void;
  signal: AbortSignal;
  /** For tests, and for what has no console: is it healthy? */
  judge?: (runsForMs: number) => Promise<boolean>;
  wait?: (ms: number) => Promise<unknown>;
  now?: () => number;
}

/** Looks until it is healthy, marks it, tells what became of the last update. Never throws: a start must not end by its own health check. */
export async function followHealth({ store, socketPath, tell, onHealthy, signal, ...given }: HealthOptions): Promise<void> {
  const judge = given.judge ?? (async (runsForMs) => isHealthy(await localSnapshot(socketPath), runsForMs));
  const { wait = (ms) => sleep(ms, null, { ref: false }), now = () => performance.now() } = given;
  const began = now();
  const complaints = new Complaints(tell, now);
  let isKnown = false;
  while (!signal.aborted) {
    let pauseMs = LOOK_EVERY_MS;
    try {
      if (isKnown || (await judge(now() - began))) {
        if (!isKnown) onHealthy();
        isKnown = true;
        await store.markHealthy();
        complaints.end();
        const news = await store.news();
        if (news) tell(news);
        return;
      }
    } catch (error) {
      // Somebody else's update: soon over.
      if (!(error instanceof UpdateRefusal && error.kind === 'busy')) {
        complaints.about(error instanceof Error ? error.message : String(error));
        pauseMs = TRY_AGAIN_MS;
      }
    }
    await wait(pauseMs);
  }
}

/** Told when it is another one than before, and again after a while. */
class Complaints {
  readonly #tell: (news: News) => void;
  readonly #now: () => number;
  #text = '';
  #toldAt = 0;

  constructor(tell: (news: News) => void, now: () => number) {
    this.#tell = tell;
    this.#now = now;
  }

  about(text: string): void {
    if (text === this.#text && this.#now() - this.#toldAt < TELL_AGAIN_MS) return;
    this.#text = text;
    this.#toldAt = this.#now();
    this.#tell({
      severity: 'warning',
      text: `This version works, but that cannot be noted for the boot loader: ${text}. It is tried again each minute. Until it succeeds each start of this server counts as a failed one, and after three of them the version before is taken, if there is one. The system disk is probably failing: replace it (install anew, keep the state while it can be read) before this server is started again.`,
    });
  }

  end(): void {
    if (this.#text !== '') this.#tell({ severity: 'info', text: 'This version has now been noted as one that works.' });
  }
}
