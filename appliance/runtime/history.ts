// What happened here, for the consoles: the timeline of events with their reasons, and the takeovers to the millisecond.
// Kept in memory and, line by line, in the state directory, so that it survives a power failure of this CoServer.
import type { CoServerName, TakeoverView, TimelineEntry } from '../core/snapshot.ts';
import { EVIDENCE_LINES, type Incident } from '../wire/partner-incident.ts';
import { CountedNews } from './counted-news.ts';
import { LineFile } from './line-file.ts';

/** What a console shows. */
const TIMELINE_ENTRIES = 200;
const TAKEOVERS = 20;
const INCIDENTS = 20;

type NewLine = Omit<TimelineEntry, 'at' | 'atMs' | 'coServer'>;

export class History {
  readonly timeline: TimelineEntry[] = [];
  readonly takeovers: TakeoverView[] = [];
  readonly incidents: Incident[] = [];
  readonly #file: LineFile;
  readonly #coServer: CoServerName;
  readonly #onChange: () => void;
  readonly #counted = new CountedNews<NewLine>((line) => this.add(line));

  private constructor(file: LineFile, coServer: CoServerName, onChange: () => void) {
    this.#file = file;
    this.#coServer = coServer;
    this.#onChange = onChange;
  }

  static async open(path: string, coServer: CoServerName, onChange: () => void): Promise<History> {
    const file = new LineFile(path);
    const history = new History(file, coServer, onChange);
    for (const line of await file.read()) {
      const entry = line as { timeline?: TimelineEntry; takeover?: TakeoverView; incident?: Incident };
      if (entry.timeline) history.timeline.push(entry.timeline);
      if (entry.takeover) history.takeovers.push(entry.takeover);
      if (entry.incident) history.#putIncident(entry.incident);
    }
    history.#trim();
    return history;
  }

  /** @param series Of lines that may come by the hundred: the first is told, what follows soon is counted. */
  add(entry: NewLine, series?: string): void {
    if (series !== undefined) {
      this.#counted.add(series, entry);
      return;
    }
    const full: TimelineEntry = { at: Date.now(), atMs: Math.round(performance.now()), coServer: this.#coServer, ...entry };
    this.timeline.push(full);
    this.#keep({ timeline: full });
  }

  /** What was counted so far stands before the next line. */
  tellCounted(): void {
    this.#counted.flush();
  }

  addTakeover(takeover: TakeoverView): void {
    this.takeovers.push(takeover);
    this.#keep({ takeover });
  }

  /** Known ones (by id) are replaced. */
  addIncident(incident: Incident): void {
    this.#putIncident(incident);
    this.#keep({ incident });
  }

  addEvidence(id: string, lines: string[]): void {
    const known = this.incidents.find((i) => i.id === id);
    if (known) this.addIncident({ ...known, evidence: [...known.evidence, ...lines].slice(0, EVIDENCE_LINES) });
  }

  #putIncident(incident: Incident): void {
    const at = this.incidents.findIndex((i) => i.id === incident.id);
    if (at < 0) this.incidents.push(incident);
    else this.incidents[at] = incident;
  }

  #keep(line: object): void {
    this.#trim();
    this.#onChange();
    this.#file.append(line);
  }

  #trim(): void {
    this.timeline.splice(0, Math.max(0, this.timeline.length - TIMELINE_ENTRIES));
    this.takeovers.splice(0, Math.max(0, this.takeovers.length - TAKEOVERS));
    this.incidents.splice(0, Math.max(0, this.incidents.length - INCIDENTS));
  }
}
