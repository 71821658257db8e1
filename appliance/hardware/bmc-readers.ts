// Sensors and event log of this server's BMC. It is opened when it is first asked, and again after it was lost.
import { type LocalIpmi, openLocalIpmi, type SelFollower } from '../../drivers/ipmi/index.ts';
import type { Reader } from './reader.ts';

/** A BMC answers each sensor in 5 to 30 ms; heat and fans need no more. */
const SENSORS_EVERY_MS = 5_000;
/** Asked for its length only, unless it grew. */
const LOG_EVERY_MS = 2_000;

export type OpenBmc = (device: string) => Promise<LocalIpmi>;

/** Both share one BMC, and the one that finds it shut opens it for both. */
export function bmcReaders(device: string, open: OpenBmc = openLocalIpmi): Reader[] {
  const way = new BmcWay(device, open);
  let follower: { of: LocalIpmi; log: SelFollower } | null = null;
  return [
    {
      source: 'sensors',
      everyMs: SENSORS_EVERY_MS,
      read: () => way.use(async (bmc) => ({ source: 'sensors', sensors: await bmc.sensorReadings() })),
      close: () => way.close(),
    },
    {
      source: 'sel',
      everyMs: LOG_EVERY_MS,
      read: () =>
        way.use(async (bmc) => {
          const isFirst = follower?.of !== bmc;
          if (follower?.of !== bmc) follower = { of: bmc, log: bmc.followSel() };
          const news = await follower.log.poll();
          // The first one says what was there before, also when it is nothing.
          if (news.entries.length === 0 && !isFirst) return null;
          return { source: 'sel', entries: await bmc.selReadings(news.entries) };
        }),
    },
  ];
}

class BmcWay {
  readonly #device: string;
  readonly #open: OpenBmc;
  #bmc: Promise<LocalIpmi> | null = null;

  constructor(device: string, open: OpenBmc) {
    this.#device = device;
    this.#open = open;
  }

  async use<T>(ask: (bmc: LocalIpmi) => Promise<T>): Promise<T> {
    this.#bmc ??= this.#open(this.#device);
    const opening = this.#bmc;
    let bmc: LocalIpmi;
    try {
      bmc = await opening;
    } catch (e) {
      if (this.#bmc === opening) this.#bmc = null;
      throw e;
    }
    return ask(bmc);
  }

  async close(): Promise<void> {
    const bmc = await this.#bmc?.catch(() => null);
    await bmc?.close();
  }
}
