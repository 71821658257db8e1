// What happened here, for the consoles: the timeline of events with their reasons, and the takeovers to the millisecond.
// Kept in memory and, line by line, in the state directory, so that it survives a power failure of this CoServer.
import type { CoServerName, TakeoverView, TimelineEntry } from '../core/snapshot.ts';
import { LineFile } from './line-file.ts';

/** What a console shows. */
const TIMELINE_ENTRIES = 200;
const TAKEOVERS = 20;

export class History {
  readonly timeline: TimelineEntry[] = [];
  readonly takeovers: TakeoverView[] = [];
  readonly #file: LineFile;
  readonly #coServer: CoServerName;
  readonly #onChange: () => void;

  private constructor(file: LineFile, coServer: CoServerName, onChange: () => void) {
    this.#file = file;
    this.#coServer = coServer;
    this.#onChange = onChange;
  }

  static async open(path: string, coServer: CoServerName, onChange: () => void): Promise<History> {
    const file = new LineFile(path);
    const history = new History(file, coServer, onChange);
    for (const line of await file.read()) {
      const entry = line as { timeline?: TimelineEntry; takeover?: TakeoverView };
      if (entry.timeline) history.timeline.push(entry.timeline);
      if (entry.takeover) history.takeovers.push(entry.takeover);
    }
    history.#trim();
    return history;
  }

  add(entry: Omit<TimelineEntry, 'at' | 'atMs' | 'coServer'>): void {
    const full: TimelineEntry = { at: Date.now(), atMs: Math.round(performance.now()), coServer: this.#coServer, ...entry };
    this.timeline.push(full);
    this.#keep({ timeline: full });
  }

  addTakeover(takeover: TakeoverView): void {
    this.takeovers.push(takeover);
    this.#keep({ takeover });
  }

  #keep(line: object): void {
    this.#trim();
    this.#onChange();
    this.#file.append(line);
  }

  #trim(): void {
    this.timeline.splice(0, Math.max(0, this.timeline.length - TIMELINE_ENTRIES));
    this.takeovers.splice(0, Math.max(0, this.takeovers.length - TAKEOVERS));
  }
}
