// Could this CoServer switch its partner off if it had to? Asked all the time, by a harmless reading of the partner's power, so that nobody
// finds out at the worst moment. Proven is only a reading of "on" for a partner that is heard: a BMC that says "off" for it lies, or is
// another machine's. While the partner is not heard, what the BMC answers proves nothing and changes nothing; that it does not answer does.
import type { PartnerPower } from '../effects/fence.ts';

const EVERY_MS = 60_000;
const AGAIN_MS = 5_000;

export interface FencePathSetup {
  /** Null: no BMC of the partner is configured. */
  power: Pick<PartnerPower, 'read'> | null;
  isPartnerHeard: () => boolean;
  /** A partner that dies is heard for this long after: a reading of "off" is doubted once. */
  heardForMs: number;
  onObserved: (proven: boolean, reason: string) => void;
}

export class FencePath {
  readonly #setup: FencePathSetup;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(setup: FencePathSetup) {
    this.#setup = setup;
  }

  /** Reads at once, then on its schedule. */
  start(): void {
    if (this.#setup.power === null) {
      this.#setup.onObserved(false, 'no BMC of the partner is configured');
      return;
    }
    void this.#round();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    const again = (await this.#look()) ? EVERY_MS : AGAIN_MS;
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#round(), again);
  }

  /** True: it is well as far as can be told. */
  async #look(): Promise<boolean> {
    const { power, heardForMs } = this.#setup;
    let heard = this.#setup.isPartnerHeard();
    try {
      let state = await power?.read();
      if (state === 'off' && heard) {
        await new Promise((resolve) => setTimeout(resolve, heardForMs));
        heard = this.#setup.isPartnerHeard();
        state = await power?.read();
      }
      // Heard before and after: it lived when its power was read.
      if (!heard || !this.#setup.isPartnerHeard()) return false;
      if (state === 'on') return this.#tell(true, '');
      return this.#tell(
        false,
        "the partner's BMC says that the power is off, and the partner is heard: it lies, or it is another machine's",
      );
    } catch (error) {
      return this.#tell(false, (error as Error).message);
    }
  }

  #tell(proven: boolean, reason: string): boolean {
    if (!this.#stopped) this.#setup.onObserved(proven, reason);
    return proven;
  }
}
