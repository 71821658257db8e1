// The management controllers: each belongs to one server and obeys the other CoServer. It may be honest, hang, be without power, or
// claim to have switched off what still runs.
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

export type BmcMood = 'honest' | 'lies' | 'hangs' | 'unplugged';

const TIMEOUT_MS = 8_000;

export class Bmc {
  mood: BmcMood = 'honest';
  /** It was told to switch off, acknowledged, and did nothing. */
  #pretendsOff = false;
  readonly #world: World;
  readonly #server: CoServer;

  constructor(world: World, server: CoServer) {
    this.#world = world;
    this.#server = server;
  }

  get answers(): boolean {
    return (this.mood === 'honest' || this.mood === 'lies') && !this.#server.acLost;
  }

  /** The scheduled reading by the partner: it answers, and what it says is true as far as that side can tell. */
  observe(by: CoServer): { proven: boolean; reason: string } {
    if (!this.answers) return { proven: false, reason: 'the BMC does not answer' };
    if (by.state.partnerHeard && this.readsOff) return { proven: false, reason: 'the BMC says off, and the partner is heard' };
    return { proven: true, reason: '' };
  }

  get readsOff(): boolean {
    return this.#pretendsOff || !this.#server.powered;
  }

  poweredOn(): void {
    this.#pretendsOff = false;
  }

  /** Switches its server on for `by`: late, or never. */
  switchOn(by: CoServer, done: (ok: boolean, reason: string) => void): void {
    const scale = this.#world.speeds.bmc;
    by.at(this.#world.random.between(100, 3_500) * scale, () => {
      if (!this.answers) {
        done(false, 'its BMC does not answer');
        return;
      }
      if (this.mood !== 'lies') this.#server.powerOn();
      done(true, '');
    });
  }

  /** Switches its server off for `by`, and verifies it. */
  fence(by: CoServer, done: (ok: boolean, reason: string) => void): void {
    const world = this.#world;
    const { random, speeds } = world;
    const scale = speeds.bmc;
    const { boots } = this.#server;
    world.count('fencing');
    if (!this.answers) {
      by.at(TIMEOUT_MS * scale, () => done(false, 'its BMC does not answer'));
      // A controller that hangs may do it all the same, much later.
      if (this.mood === 'hangs' && random.chance(0.3))
        world.later(random.between(0, 20_000) * scale, () => {
          if (!this.#server.powered || this.#server.acLost) return;
          world.tell(() => `the BMC of ${this.#server.name} obeys an order that was given up`);
          this.#server.powerOff('switched off by its BMC');
        });
      return;
    }
    const takesMs = random.between(100, 3_500) * scale;
    world.later(takesMs, () => {
      if (this.mood === 'lies') this.#pretendsOff = true;
      else if (this.answers && this.#server.boots === boots) this.#server.powerOff('switched off by its BMC');
    });
    const readEvery = random.between(100, 600) * scale;
    let offInRow = 0;
    const end = world.now + TIMEOUT_MS * scale;
    const read = (): void => {
      offInRow = this.answers && this.readsOff ? offInRow + 1 : 0;
      const isDark = world.flaws.carrierNotChecked || !world.network.hasCarrier(by);
      if (offInRow >= 2 && isDark) done(true, 'read off twice, no carrier');
      else if (world.now >= end) done(false, offInRow >= 2 ? 'it reads off, and the carrier is there' : 'it does not read off');
      else by.at(readEvery, read);
    };
    by.at(takesMs + readEvery, read);
  }
}
