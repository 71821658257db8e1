// A version that was started for a trial shows here that it works; what became of the last update goes to the timeline.
import { writeFileSync } from 'node:fs';
import { findPlace, followHealth, isAppliance, type News, UpdateStore } from '../update/index.ts';
import type { History } from './history.ts';
import { log } from './log.ts';

/** For init: what runs works, so its clock of the trial must not start the server again. Gone with the next start. */
const HEALTHY_FILE = '/run/twinstep/healthy';

/** `socketPath`: of the consoles of this process. Where no image was started there is nothing to do. */
export function startUpdateHealth(socketPath: string): { tellTo(history: Pick<History, 'add'>): void } {
  let told: News[] | null = [];
  let tell = (news: News) => {
    log(news.severity, news.text);
    told?.push(news);
  };
  follow({ socketPath, tell: (news) => tell(news) });
  return {
    tellTo: (history) => {
      tell = (news) => history.add({ ...news, row: null });
      for (const news of told ?? []) tell(news);
      told = null;
    },
  };
}

/** A server that only waits to be set up, and says so on its screens, works. */
export function markWaitingHealthy(): void {
  follow({ socketPath: '', tell: ({ severity, text }) => log(severity, text), judge: async () => true });
}

function follow(how: { socketPath: string; tell: (news: News) => void; judge?: () => Promise<boolean> }): void {
  if (!isAppliance()) return;
  try {
    const store = new UpdateStore(findPlace());
    store.noteStart();
    void followHealth({ ...how, store, onHealthy: noteHealthy, signal: new AbortController().signal });
  } catch (error) {
    how.tell({ severity: 'warning', text: `Versions on this server cannot be looked after: ${(error as Error).message}` });
  }
}

function noteHealthy(): void {
  try {
    writeFileSync(HEALTHY_FILE, '');
  } catch (error) {
    log('warning', `${HEALTHY_FILE} cannot be written: ${(error as Error).message}`);
  }
}
