// Connections of every age: beside the crowd that is there from the beginning, each round opens some while the pair is on its way
// back to duplex and when it has come there, and some of earlier rounds end. What each has outlived goes into the report.
import type { Clients } from '../lab/clients/controller.ts';
import type { ClientSpec, ConnectionAge } from '../lab/clients/protocol.ts';
import type { Clock } from './clock.ts';

/** From one new connection to the next while the pair is not duplex: the synchronisation lasts some seconds. */
const EVERY_MS = 1000;
/** In one round: a pair that does not come to duplex must not be flooded. */
const MOST_PER_ROUND = 5;
/** Rounds that a cohort stays; every tenth stays for good. */
const ROUNDS = 3;
const FOREVER_EVERY = 10;
/** Told in the report: a campaign of 100 rounds has some 600. */
const MAX_AGES = 2000;

/** Gentle: many of them are open at once. In turn, so that every kind and family meets every moment. */
const SPECS: readonly ClientSpec[] = [
  { kind: 'echoTcp', family: 4, everyMs: 400 },
  { kind: 'echoTcp', family: 6, everyMs: 400, by: 'guest' },
  { kind: 'download', family: 6, bytes: 2 ** 34, rateBytesPerS: 10_000 },
  { kind: 'echoTcp', family: 6, everyMs: 400 },
  { kind: 'upload', family: 4, bytes: 2 ** 22, rateBytesPerS: 10_000, chunked: false },
  { kind: 'echoTcp', family: 4, everyMs: 400, by: 'guest' },
  { kind: 'download', family: 4, bytes: 2 ** 34, rateBytesPerS: 10_000, by: 'guest' },
];

export class Cohorts {
  readonly #clients: Clients;
  readonly #clock: Clock;
  #opened = 0;
  #openedThisRound = 0;
  #lastAt = 0;
  readonly ended: ConnectionAge[] = [];

  constructor(clients: Clients, clock: Clock) {
    this.#clients = clients;
    this.#clock = clock;
  }

  async #open(cohort: string): Promise<void> {
    const spec = SPECS[this.#opened++ % SPECS.length];
    if (spec !== undefined) await this.#clients.open([spec], cohort);
  }

  /** Called again and again while the pair is on its way back. */
  async rejoining(round: number): Promise<void> {
    const now = this.#clock.now();
    if (this.#openedThisRound >= MOST_PER_ROUND || now - this.#lastAt < EVERY_MS) return;
    this.#lastAt = now;
    this.#openedThisRound++;
    await this.#open(`rejoining ${round}`);
  }

  /** The pair has just become duplex. */
  async duplex(round: number): Promise<void> {
    this.#openedThisRound = 0;
    await this.#open(`duplex ${round}`);
    const old = round - ROUNDS;
    if (old < 1 || old % FOREVER_EVERY === 0) return;
    for (const when of ['rejoining', 'duplex']) this.#keep(await this.#clients.retire(`${when} ${old}`));
  }

  /** All that are still open. */
  async end(): Promise<void> {
    this.#keep(await this.#clients.ages());
  }

  #keep(ages: readonly ConnectionAge[]): void {
    this.ended.push(...ages.slice(0, MAX_AGES - this.ended.length));
  }
}
