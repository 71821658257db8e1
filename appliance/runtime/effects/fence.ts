// Switches the partner off, and is sure of it: two witnesses that do not know of each other must say so. The partner's BMC: off,
// read back twice. The direct links: their carrier is gone, because the other end has no power. A fence of which either is missing
// has failed, with its reason, and never counts.
//
// Where a carrier was gone before, the cable or the partner had failed earlier, and that link says nothing: the sentence tells.

/** The partner's power, by its BMC. Rejections are sentences for the operator. */
export interface PartnerPower {
  read(): Promise<'on' | 'off'>;
  /** Orders it off and reads it back off twice. Resolves with how it went, in words, and whether it had been on. */
  offVerified(): Promise<{ word: string; wasOn: boolean }>;
  on(): Promise<void>;
}

export interface FenceSetup {
  /** Null: no BMC of the partner is configured. */
  power: PartnerPower | null;
  /** Per direct link. */
  carriers: () => Promise<readonly boolean[]>;
  /** Monotonic ms. */
  now: () => number;
  sleep: (ms: number) => Promise<void>;
}

/** From off to no carrier a power supply's capacitors need up to a second, and a NIC with standby power may renegotiate once. */
export const CARRIER_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 20;

export class Fence {
  readonly #setup: FenceSetup;
  #running: Promise<string> | null = null;
  #wasOn = true;

  constructor(setup: FenceSetup) {
    this.#setup = setup;
  }

  /** Resolves with the evidence. Rejects with what was not proved. Asked again while it works, it answers the same. */
  fence(): Promise<string> {
    this.#running ??= this.#fence().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async powerOn(): Promise<string> {
    const { power } = this.#setup;
    if (power === null) throw new Error('no BMC of the partner is configured (fence.address)');
    // Somebody may have switched it off by hand, and have his hands in it.
    if (!this.#wasOn) throw new Error('it had been off before, and is left so');
    await power.on();
    return '';
  }

  async #fence(): Promise<string> {
    const { power, now } = this.#setup;
    if (power === null) throw new Error('no BMC of the partner is configured (fence.address): it cannot be switched off from here');
    const before = await this.#carriers();
    const began = now();
    const { word, wasOn } = await power.offVerified();
    this.#wasOn = wasOn;
    const orderedMs = now() - began;
    const lit = await this.#awaitDark();
    if (lit.length > 0)
      throw new Error(
        `the partner's BMC says that the power is off (${word}), but ${links(lit)} still ${lit.length === 1 ? 'has its' : 'have their'} carrier after ${CARRIER_WITHIN_MS / 1000} s: it lies, or it switched another machine`,
      );
    const darkMs = now() - began;
    const seen = before.flatMap((up, i) => (up ? [i] : []));
    const carrier =
      seen.length === 0
        ? "the links' carrier had been gone before: this is the BMC's word alone"
        : `carrier of ${links(seen)} gone ${Math.round(darkMs)} ms after the order`;
    return `the partner's BMC: ${word} (${Math.round(orderedMs)} ms); ${carrier}`;
  }

  /** Answers the links that keep their carrier, by index. */
  async #awaitDark(): Promise<number[]> {
    const { now, sleep } = this.#setup;
    const end = now() + CARRIER_WITHIN_MS;
    for (;;) {
      const lit = (await this.#carriers()).flatMap((up, i) => (up ? [i] : []));
      if (lit.length === 0 || now() >= end) return lit;
      await sleep(LOOK_EVERY_MS);
    }
  }

  async #carriers(): Promise<readonly boolean[]> {
    const carriers = await this.#setup.carriers();
    if (carriers.length === 0) throw new Error('there is no direct link whose carrier could tell');
    return carriers;
  }
}

function links(indexes: readonly number[]): string {
  return `link${indexes.length === 1 ? '' : 's'} ${indexes.map((i) => i + 1).join(' and ')}`;
}
