// Is the UPS of this CoServer on battery, and how long yet? What is told is what changed.
//
// A UPS that was on battery and then is not heard any more counts as low: its network or its upsd went first, and the battery is what is next.
import { readUps, type UpsReading } from '../../../drivers/ups/index.ts';
import type { CoServerConfig } from '../../config.ts';
import type { History } from '../history.ts';

const EVERY_MS = 5_000;
const EVERY_ON_BATTERY_MS = 2_000;
/** As long as upsmon waits (DEADTIME). */
const LOST_MS = 15_000;

export interface UpsWatchSetup {
  /** Null: none is configured. */
  read: (() => Promise<UpsReading>) | null;
  onObserved: (onBattery: boolean, low: boolean) => void;
  /** The UPS cannot be read, or can be read again: once each. */
  tell: (severity: 'info' | 'warning', text: string) => void;
  /** Monotonic ms. */
  now: () => number;
}

export class UpsWatch {
  readonly #setup: UpsWatchSetup;
  #known: { onBattery: boolean; low: boolean } | null = null;
  #lostAt: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  /** For the consoles; null: not known (any more). */
  latest: UpsReading | null = null;

  constructor(setup: UpsWatchSetup) {
    this.#setup = setup;
  }

  start(): void {
    if (this.#setup.read !== null) void this.#round(this.#setup.read);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  async #round(read: () => Promise<UpsReading>): Promise<void> {
    try {
      this.#heard(await read());
    } catch (error) {
      this.#unheard(error as Error);
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#round(read), this.#known?.onBattery ? EVERY_ON_BATTERY_MS : EVERY_MS);
  }

  #heard(reading: UpsReading): void {
    if (this.#stopped) return;
    if (this.#lostAt !== null) this.#setup.tell('info', `The UPS is read again: ${reading.status}.`);
    this.#lostAt = null;
    this.latest = reading;
    this.#observe(reading.onBattery, reading.low);
  }

  #unheard(error: Error): void {
    if (this.#stopped) return;
    const now = this.#setup.now();
    if (this.#lostAt === null) this.#setup.tell('warning', `The UPS cannot be read: ${error.message}.`);
    this.#lostAt ??= now;
    this.latest = null;
    if (this.#known?.onBattery && now - this.#lostAt >= LOST_MS) this.#observe(true, true);
  }

  #observe(onBattery: boolean, low: boolean): void {
    if (this.#known?.onBattery === onBattery && this.#known.low === low) return;
    this.#known = { onBattery, low };
    this.#setup.onObserved(onBattery, low);
  }
}

/** The one that is configured. */
export function watchUps(ups: CoServerConfig['ups'], history: Pick<History, 'add'>, onObserved: UpsWatchSetup['onObserved']): UpsWatch {
  return new UpsWatch({
    read: ups.address === '' ? null : () => readUps(ups),
    onObserved,
    tell: (severity, text) => history.add({ severity, row: null, text }),
    now: () => performance.now(),
  });
}
