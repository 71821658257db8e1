// A version that was started for a trial shows here that it works; what became of the last update goes to the timeline.
import { findPlace, followHealth, isAppliance, type News, UpdateStore } from '../update/index.ts';
import type { History } from './history.ts';
import { log } from './log.ts';

/** `socketPath`: of the consoles of this process. Where no image was started there is nothing to do. */
export function startUpdateHealth(socketPath: string): { tellTo(history: Pick<History, 'add'>): void } {
  let told: News[] | null = [];
  let tell = (news: News) => {
    log(news.severity, news.text);
    told?.push(news);
  };
  if (isAppliance()) {
    try {
      void followHealth({
        store: new UpdateStore(findPlace()),
        socketPath,
        tell: (news) => tell(news),
        signal: new AbortController().signal,
      });
    } catch (error) {
      tell({ severity: 'warning', text: `Versions on this server cannot be looked after: ${(error as Error).message}` });
    }
  }
  return {
    tellTo: (history) => {
      tell = (news) => history.add({ ...news, row: null });
      for (const news of told ?? []) tell(news);
      told = null;
    },
  };
}

/** A server that only waits to be set up, and says so on its screens, works. */
export async function markWaitingHealthy(): Promise<void> {
  if (!isAppliance()) return;
  try {
    const store = new UpdateStore(findPlace());
    if (await store.markHealthy()) log('info', 'this version works: it is no longer on trial');
    const news = await store.news();
    if (news) log(news.severity, news.text);
  } catch (error) {
    log('warning', `this version could not be marked as one that works: ${(error as Error).message}`);
  }
}
