// When does a page of the replica that differs from the ledger prove a fault?
//
// A stopped replica differs legitimately: it ran on since the last load, and may do the same each time (a thread that waits for input
// which only the primary gets writes the same flag again after every load). So counting sightings proves nothing where it is not fed.
// What is certain: a load puts the right content into the page BEFORE the replica runs again: between RECEIVED and LOADED the engine
// copies the pages, loads the devices' state, and only then starts the replica. A suspect is therefore read again and again during that
// time; a healthy page shows the right content then, a page that the engine forgot never does.
//
//   sample differs -> sighted: same wrong content at SIGHTINGS stops in a row, not sent meanwhile
//        -> watched: read during each load -- right content seen --> innocent (until the next round over all of the memory)
//                                          `- never, in WATCHED_LOADS loads, and still the same wrong content --> it differs
//
// Watching needs a free core. Where there is none, a replica that is fed every input of the primary's (lockstep) is accused by patience:
// STOPS_PROVE stops in a row with the same wrong content in a page that the primary never wrote in all that time.
export interface PageDifference {
  side: 'primary' | 'secondary';
  /** Number of the page of 4 KiB in the guest's RAM (byte offset in the RAM's file / 4096). */
  page: number;
  /** CRC-32 of what was sent last, and of what is there. */
  expectedCrc: number;
  foundCrc: number;
  /** The interval in which the page was sent last (0: the synchronisation), and the one at whose end it was found. */
  sinceInterval: number;
  interval: number;
}

/** Cheap and often enough to leave aside what merely changes; the proof is the watching. */
export const SIGHTINGS = 4;
/**
 * A load counts only when it was watched from RECEIVED to LOADED without a gap of MAX_GAP_MS, which is less than the engine takes from the
 * restored page to the running replica; so one load would do. Eight are wanted so that a load in which that was not so (one in ten, say)
 * cannot accuse: 10^-8. On a busy machine few loads count, and the proof takes longer; it does not get weaker.
 */
export const WATCHED_LOADS = 8;
/**
 * Both run the same code on the same input from the same state: what the replica writes after a load, the primary writes too, and sends.
 * Forty intervals in which only one of them did, each time the same, are no accident; and a false alarm costs one re-protection.
 */
export const STOPS_PROVE = 40;
/** Forty stops can be two seconds: not while a burst of inputs may have missed the replica. */
export const SIGHTED_FOR_MS = 8_000;
/** A look takes 5-100 us; loading the devices' state, which lies between the restored page and the replica, took 0.4 ms at the least. */
export const MAX_GAP_MS = 0.25;
/** A replica that ran writes hundreds of pages; a fault is a page that stays among them. */
const MAX_SUSPECTS = 32;
/** Looks at one load: 50-200 ms in all. A longer load is not watched to its end, and does not count. */
const MAX_LOOKS = 5_000;
/** Innocent pages that are remembered: each costs one more watched load when it is forgotten. */
const MAX_INNOCENT = 4_096;

interface Suspect {
  page: number;
  expectedCrc: number;
  foundCrc: number;
  sinceInterval: number;
  sightings: number;
  firstSightedMs: number;
  watchedLoads: number;
}

/** What is known of a page: what was sent last, and when. */
export interface Expectation {
  crcOf(page: number): number;
  sinceOf(page: number): number;
}

export class Suspects {
  readonly #expected: Expectation;
  readonly #isFed: boolean;
  readonly #suspects = new Map<number, Suspect>();
  readonly #innocent = new Set<number>();
  #looks = 0;
  #lastLookMs = 0;
  #received = false;
  #gap = false;

  /** @param isFed The replica gets every input of the primary's. */
  constructor(expected: Expectation, isFed: boolean) {
    this.#expected = expected;
    this.#isFed = isFed;
  }

  get size(): number {
    return this.#suspects.size;
  }

  /** All of the memory was looked at: who was innocent may be suspected anew. */
  newRound(): void {
    this.#innocent.clear();
  }

  /** The sample, at the end of `interval`: a page that is not what was sent. */
  add(page: number, foundCrc: number, nowMs: number): void {
    if (this.#suspects.size >= MAX_SUSPECTS || this.#suspects.has(page) || this.#innocent.has(page)) return;
    const expectedCrc = this.#expected.crcOf(page);
    this.#suspects.set(page, {
      page,
      expectedCrc,
      foundCrc,
      sinceInterval: this.#expected.sinceOf(page),
      sightings: 1,
      firstSightedMs: nowMs,
      watchedLoads: 0,
    });
  }

  /** The replica has stopped at the end of `interval`, before new suspects are added: looks at those of the stops before. */
  sight(interval: number, crcOf: (page: number) => number, nowMs: number): PageDifference | undefined {
    let proven: PageDifference | undefined;
    for (const s of this.#suspects.values()) {
      if (crcOf(s.page) !== s.foundCrc) {
        this.#suspects.delete(s.page);
        continue;
      }
      s.sightings++;
      const isPatient = this.#isFed && s.sightings >= STOPS_PROVE && nowMs - s.firstSightedMs >= SIGHTED_FOR_MS;
      if (s.watchedLoads < WATCHED_LOADS && !isPatient) continue;
      const { page, expectedCrc, foundCrc, sinceInterval } = s;
      this.#suspects.delete(page);
      proven ??= { side: 'secondary', page, expectedCrc, foundCrc, sinceInterval, interval };
    }
    return proven;
  }

  /** A checkpoint goes to the engine, and what it contains is in the ledger. True: `look` is wanted until `loaded`. */
  loading(nowMs: number): boolean {
    this.#looks = 0;
    this.#received = false;
    this.#gap = false;
    this.#lastLookMs = nowMs;
    for (const s of this.#suspects.values()) if (!this.#isAsExpected(s)) this.#suspects.delete(s.page);
    return this.#watched().length > 0;
  }

  /** The engine has the whole checkpoint, and now restores the pages. What was missed before does not matter. */
  received(nowMs: number): void {
    this.#received = true;
    this.#gap = nowMs - this.#lastLookMs > MAX_GAP_MS;
  }

  /** The engine is loading: one look at those who are watched. False: no further look is wanted. */
  look(nowMs: number, crcOf: (page: number) => number): boolean {
    this.#looks++;
    if (nowMs - this.#lastLookMs > MAX_GAP_MS) this.#gap = true;
    this.#lastLookMs = nowMs;
    const watched = this.#watched();
    for (const s of watched) {
      if (crcOf(s.page) !== s.expectedCrc) continue;
      this.#suspects.delete(s.page);
      if (this.#innocent.size < MAX_INNOCENT) this.#innocent.add(s.page);
    }
    return watched.length > 0 && this.#looks < MAX_LOOKS;
  }

  /** The engine says that it has loaded. */
  loaded(nowMs: number): void {
    const whole = this.#received && this.#looks > 0 && this.#looks < MAX_LOOKS && !this.#gap && nowMs - this.#lastLookMs <= MAX_GAP_MS;
    if (whole) for (const s of this.#watched()) s.watchedLoads++;
    this.#looks = 0;
  }

  #isAsExpected(s: Suspect): boolean {
    return this.#expected.crcOf(s.page) === s.expectedCrc && this.#expected.sinceOf(s.page) === s.sinceInterval;
  }

  #watched(): Suspect[] {
    return [...this.#suspects.values()].filter((s) => s.sightings >= SIGHTINGS);
  }
}
