// The wall clock against the monotonic one. Nothing here decides on the wall clock: what consoles and histories show is dated by it, so
// an operator is told when it jumps, and when the machine's time service says that it is no longer synchronised.
import { existsSync } from 'node:fs';
import type { History } from '../history.ts';

/** A time service that slews changes at most 0.1 s in this time; what is more was a step. */
const LOOK_EVERY_MS = 1_000;
const JUMP_MS = 1_000;
/** The process was kept waiting between the two clocks: this look tells nothing, the next one does. */
const READ_WITHIN_MS = 20;

export interface Clocks {
  wallMs: () => number;
  monotonicMs: () => number;
}

export const MACHINE_CLOCKS: Clocks = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

export class ClockWatch {
  readonly #clocks: Clocks;
  #offsetMs: number | null = null;

  constructor(clocks: Clocks = MACHINE_CLOCKS) {
    this.#clocks = clocks;
  }

  /** To be called regularly. Answers by how much the wall clock was set since the last call, ms; null: it was not, beyond slewing. */
  look(): number | null {
    const { wallMs, monotonicMs } = this.#clocks;
    const before = monotonicMs();
    const wall = wallMs();
    const after = monotonicMs();
    if (after - before > READ_WITHIN_MS) return null;
    const offset = wall - after;
    const by = this.#offsetMs === null ? 0 : offset - this.#offsetMs;
    this.#offsetMs = offset;
    return Math.abs(by) > JUMP_MS ? by : null;
  }
}

/** systemd-timesyncd makes its folder when it starts, and the file in it when the clock is synchronised. chrony leaves no such file. */
const TIMESYNC = { runs: '/run/systemd/timesync', synchronised: '/run/systemd/timesync/synchronized' };

/** Null: it cannot be told on this machine. */
export function isSynchronised(exists: (path: string) => boolean = existsSync): boolean | null {
  return exists(TIMESYNC.runs) ? exists(TIMESYNC.synchronised) : null;
}

export interface ClockNews {
  jumped: (byMs: number) => void;
  /** Only its changes after the first look: a machine that has just started is not synchronised yet. */
  synchronised: (isSynchronised: boolean) => void;
}

/** One look at both. */
export class ClockSource {
  readonly #watch: ClockWatch;
  readonly #synchronised: () => boolean | null;
  readonly #news: ClockNews;
  #was: boolean | null = null;

  constructor(news: ClockNews, clocks: Clocks = MACHINE_CLOCKS, synchronised: () => boolean | null = isSynchronised) {
    this.#news = news;
    this.#watch = new ClockWatch(clocks);
    this.#synchronised = synchronised;
  }

  look(): void {
    const by = this.#watch.look();
    if (by !== null) this.#news.jumped(by);
    const is = this.#synchronised();
    if (this.#was !== null && is !== null && is !== this.#was) this.#news.synchronised(is);
    this.#was = is;
  }

  /** Answers how to end it. */
  start(): () => void {
    this.look();
    const timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }
}

const SYNCHRONISED = "This CoServer's clock is synchronised again.";
const LOST = "This CoServer's clock is no longer synchronised: the times that the consoles show may be wrong. Nothing is decided on it.";

/** Tells the history. Answers what ends it. */
export function followClock(history: Pick<History, 'add'>, jumped: (byMs: number) => void): () => void {
  const synchronised = (is: boolean) => history.add({ severity: is ? 'info' : 'warning', row: '30', text: is ? SYNCHRONISED : LOST });
  return new ClockSource({ jumped, synchronised }).start();
}
