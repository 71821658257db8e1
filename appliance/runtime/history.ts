// What happened here, for the consoles: the timeline of events with their reasons, and the takeovers to the millisecond.
// Kept in memory and, line by line, in the state directory, so that it survives a power failure of this CoServer.
import { appendFile, readFile, rename, stat } from 'node:fs/promises';
import type { CoServerName, TakeoverView, TimelineEntry } from '../core/snapshot.ts';

/** What a console shows. */
const TIMELINE_ENTRIES = 200;
const TAKEOVERS = 20;
/** Then the file is set aside once, as .1: two of them bound the space. */
const FILE_BYTES = 4 << 20;

export class History {
  readonly timeline: TimelineEntry[] = [];
  readonly takeovers: TakeoverView[] = [];
  readonly #path: string;
  readonly #coServer: CoServerName;
  readonly #onChange: () => void;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, coServer: CoServerName, onChange: () => void) {
    this.#path = path;
    this.#coServer = coServer;
    this.#onChange = onChange;
  }

  static async open(path: string, coServer: CoServerName, onChange: () => void): Promise<History> {
    const history = new History(path, coServer, onChange);
    let text = '';
    try {
      text = await readFile(path, 'utf8');
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
    }
    for (const line of text.split('\n')) {
      if (!line) continue;
      try {
        const entry = JSON.parse(line) as { timeline?: TimelineEntry; takeover?: TakeoverView };
        if (entry.timeline) history.timeline.push(entry.timeline);
        if (entry.takeover) history.takeovers.push(entry.takeover);
      } catch {
        // A line torn by a power failure: the others are whole.
      }
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
    this.#writing = this.#writing
      .then(async () => {
        const size = await stat(this.#path).then((s) => s.size, () => 0);
        if (size > FILE_BYTES) await rename(this.#path, `${this.#path}.1`);
        await appendFile(this.#path, `${JSON.stringify(line)}\n`, { mode: 0o600 });
      })
      // A full disk must not stop the arbitration: the consoles still show the entry.
      .catch(() => undefined);
  }

  #trim(): void {
    this.timeline.splice(0, Math.max(0, this.timeline.length - TIMELINE_ENTRIES));
    this.takeovers.splice(0, Math.max(0, this.takeovers.length - TAKEOVERS));
  }
}
