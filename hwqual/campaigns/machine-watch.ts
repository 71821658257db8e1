// Looks at both servers' consoles all the time, and keeps what their histories said and when it was read here.
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import { type SeenEntry, type Told, toldBy } from './machine-faults-judge.ts';

/** More often costs an emulated server what it needs for its work. */
const LOOK_MS = 1_000;
/** Sensors, the BMC's log and machine checks were read by then, and what is usual for a disk is known (a minute of readings). */
const WATCHED_AFTER_MS = 90_000;

export interface Consoles {
  snapshot(server: CoServerName): Promise<Snapshot | null>;
}

export type Pictures = Record<CoServerName, Snapshot | null>;

const SERVERS = ['A', 'B'] as const;

export class MachineWatch {
  /** Null: no answer at the last look. */
  readonly pictures: Pictures = { A: null, B: null };
  readonly entries: SeenEntry[] = [];
  readonly told: Told[] = [];
  readonly #consoles: Consoles;
  readonly #known = new Set<string>();
  readonly #onEntry: (entry: SeenEntry) => void;
  #waiting: (() => void)[] = [];
  readonly #lookMs: number;
  #stopped = false;
  #ended: Promise<unknown> = Promise.resolve();
  #error: Error | null = null;

  /** @param lookMs Between two looks at one console. */
  constructor(consoles: Consoles, onEntry: (entry: SeenEntry) => void = () => undefined, lookMs = LOOK_MS) {
    this.#consoles = consoles;
    this.#lookMs = lookMs;
    this.#onEntry = onEntry;
  }

  start(): void {
    this.#ended = Promise.all(SERVERS.map((server) => this.#follow(server))).catch((error: Error) => {
      this.#error = error;
      this.#stopped = true;
      this.#wake();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#ended;
  }

  /** What `look` answers once it is not null; null when that takes longer than `limitMs`. Throws when the consoles cannot be read at all. */
  async until<T>(look: () => T | null, limitMs: number): Promise<T | null> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, limitMs);
    try {
      for (;;) {
        if (this.#error) throw this.#error;
        const found = look();
        if (found !== null) return found;
        if (late || this.#stopped) return null;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** It has run long enough to have read everything once, hears the other, and nothing of its hardware is told. */
  isWatchedAndWell(server: CoServerName): boolean {
    const picture = this.pictures[server];
    return (
      picture !== null &&
      picture.uptimeMs >= WATCHED_AFTER_MS &&
      picture.coServers.every(({ present }) => present) &&
      picture.hardware?.watched === true &&
      picture.hardware.sources.every(({ state }) => state === 'read' || state === 'absent') &&
      !picture.attention.some(({ kind, title }) => kind === 'hardware' && title.startsWith(`CoServer ${server}:`))
    );
  }

  async #follow(server: CoServerName): Promise<void> {
    while (!this.#stopped) {
      const picture = await this.#consoles.snapshot(server);
      this.pictures[server] = picture;
      if (picture) this.#read(picture);
      this.#wake();
      await new Promise((resolve) => setTimeout(resolve, this.#lookMs));
    }
  }

  #read(picture: Snapshot): void {
    const seenMs = performance.now();
    for (const entry of picture.timeline) {
      const key = `${entry.at} ${entry.coServer} ${entry.text}`;
      if (this.#known.has(key)) continue;
      this.#known.add(key);
      const seen = { ...entry, seenMs };
      this.entries.push(seen);
      const told = toldBy(seen);
      if (told) this.told.push(told);
      this.#onEntry(seen);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
