// Are the two servers alike enough for lockstep? Each reads what it is made of when its process starts and when a link comes up, tells the
// partner over the control stream, and compares. What counts is what the partner told in its present life: a server that was restarted may
// come back with another BIOS. How they are compared is not known here (Qualifier, from hwqual).
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Qualification } from '../../core/machine.ts';
import type { QualificationItemView } from '../../core/snapshot.ts';
import { encodeFacts, type FactsMessage } from '../../wire/partner-facts.ts';
import type { History } from '../history.ts';
import { log } from '../log.ts';

/** Facts of a server are opaque here: an object that is JSON. */
export interface Qualifier<F extends object> {
  /** This server. Does not reject for what cannot be read. */
  read(signal: AbortSignal): Promise<F>;
  /** Throws with the field that is wrong. */
  parse(value: unknown): F;
  /** In the order A, B. items: what differs first. */
  compare(a: F, b: F): Qualification & { items: readonly QualificationItemView[] };
  /** What is another than it was, each as "BIOS 1.2 -> 1.3". */
  changes(before: F, now: F): string[];
  /** `now`, with what cannot be read at this moment as it was: the rate of a link that has no carrier. */
  settle(before: F, now: F): F;
}

/** The last comparison, as the consoles and the command line are told it. */
export interface LiveQualification {
  /** Wall clock, ISO 8601; null: they have not been compared in this life. */
  judgedAt: string | null;
  own: object | null;
  partner: object | null;
  qualification: Qualification | null;
}

export interface QualificationParts<F extends object> {
  /** Null: nobody asks (configuration), so nothing is read. */
  qualifier: Qualifier<F> | null;
  coServer: 'A' | 'B';
  incarnation: string;
  stateDir: string;
  /** Text of a message, told now and whenever the stream is up again. */
  tell: (text: string) => void;
  judged: (qualification: Qualification | null) => void;
  history: Pick<History, 'add'>;
}

/** Kept over restarts: what the servers were made of. */
const FILE = 'qualification.json';
const FILE_MAX_BYTES = 256 * 1024;
/** A link that comes and goes must not have the hardware read all the time. */
const READ_AGAIN_AFTER_MS = 2_000;
/** What could not be read, such as a BMC that starts itself anew, is asked for again as long as it stands against the pair. */
const UNKNOWN_AGAIN_MS = 60_000;
/** A partner that runs tells within some seconds; a trial guest on a slow server takes 20. */
const SILENT_PARTNER_MS = 60_000;
/** In one line of the history. */
const CHANGES_NAMED = 8;

interface Kept<F> {
  own: F;
  /** ISO 8601. */
  readAt: string;
}

export class QualificationWatch<F extends object> {
  readonly #parts: QualificationParts<F>;
  readonly #stop = new AbortController();
  #own: F | null = null;
  #theirs: { incarnation: string; facts: F } | null = null;
  #partner: string | null = null;
  #judged: Qualification | null = null;
  /** Of the last comparison that counts, for the consoles. */
  items: readonly QualificationItemView[] = [];
  #judgedAt: string | null = null;
  #reading: Promise<void> | null = null;
  #again: NodeJS.Timeout | null = null;
  #againAt = 0;
  #silence: NodeJS.Timeout | null = null;
  #lastOwn = '';

  constructor(parts: QualificationParts<F>) {
    this.#parts = parts;
  }

  start(): void {
    if (this.#parts.qualifier) this.#read();
  }

  stop(): void {
    this.#stop.abort();
    for (const timer of [this.#again, this.#silence]) if (timer) clearTimeout(timer);
  }

  /** A link has come up: its rate can be read now. */
  linkUp(): void {
    this.#readIn(READ_AGAIN_AFTER_MS);
  }

  /** Of each of the partner's messages: the life it is in. */
  partnerIs(incarnation: string): void {
    if (!this.#parts.qualifier || incarnation === this.#partner) return;
    this.#partner = incarnation;
    if (this.#silence) clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#sayIfSilent(), SILENT_PARTNER_MS);
    this.#silence.unref();
    this.#judge();
  }

  /** Throws what the partner's message is wrong in. */
  partnerTold({ incarnation, server }: FactsMessage): void {
    const { qualifier, coServer } = this.#parts;
    if (!qualifier) return;
    const facts = qualifier.parse(server);
    if ((facts as { coServer?: unknown }).coServer === coServer) throw new Error(`facts of a CoServer ${coServer}, which is this one`);
    this.#theirs = { incarnation, facts };
    this.#judge();
  }

  get latest(): LiveQualification | null {
    if (!this.#parts.qualifier) return null;
    return { judgedAt: this.#judgedAt, own: this.#own, partner: this.#current(), qualification: this.#judged };
  }

  /** When all that was begun is done: for tests. */
  async settled(): Promise<void> {
    while (this.#reading) await this.#reading;
  }

  #current(): F | null {
    return this.#theirs !== null && this.#theirs.incarnation === this.#partner ? this.#theirs.facts : null;
  }

  /** The earliest of what was asked for. */
  #readIn(ms: number): void {
    if (!this.#parts.qualifier || this.#stop.signal.aborted) return;
    const at = performance.now() + ms;
    if (this.#again && this.#againAt <= at) return;
    if (this.#again) clearTimeout(this.#again);
    this.#againAt = at;
    this.#again = setTimeout(() => {
      this.#again = null;
      this.#read();
    }, ms);
  }

  #read(): void {
    const { qualifier } = this.#parts;
    if (!qualifier || this.#reading) return;
    this.#reading = this.#readNow(qualifier)
      .catch((e: Error) => {
        if (!this.#stop.signal.aborted)
          this.#parts.history.add({ severity: 'warning', row: null, text: `This server cannot be qualified: ${e.message}` });
      })
      .finally(() => {
        this.#reading = null;
        if (this.#judged?.verdict === 'unknown') this.#readIn(UNKNOWN_AGAIN_MS);
      });
  }

  async #readNow(qualifier: Qualifier<F>): Promise<void> {
    const { incarnation, tell } = this.#parts;
    const isFirst = this.#own === null;
    const kept = isFirst ? await this.#kept(qualifier) : null;
    const before = this.#own ?? kept?.own ?? null;
    const read = await qualifier.read(this.#stop.signal);
    if (this.#stop.signal.aborted) return;
    const own = before ? qualifier.settle(before, read) : read;
    const text = JSON.stringify(own);
    if (text === this.#lastOwn) return;
    this.#lastOwn = text;
    this.#own = own;
    if (kept) this.#tellChanges(qualifier.changes(kept.own, own), kept.readAt);
    tell(encodeFacts({ incarnation, server: own }));
    this.#judge();
    await this.#keep({ own, readAt: new Date().toISOString() });
  }

  #tellChanges(changes: readonly string[], since: string): void {
    if (changes.length === 0) return;
    const named = changes.slice(0, CHANGES_NAMED).join('; ');
    const more = changes.length > CHANGES_NAMED ? `; and ${changes.length - CHANGES_NAMED} more` : '';
    const text = `This server is not as it was: ${named}${more}, since ${since.slice(0, 10)}. It is compared with the partner again.`;
    this.#parts.history.add({ severity: 'warning', row: null, text });
  }

  #judge(): void {
    const { qualifier, coServer, judged } = this.#parts;
    const theirs = this.#current();
    if (!qualifier || this.#own === null || theirs === null) {
      // What a partner of an earlier life was made of counts no more.
      if (this.#judged !== null) judged(null);
      this.#judged = null;
      this.items = [];
      return;
    }
    if (this.#silence) clearTimeout(this.#silence);
    this.#silence = null;
    const [a, b] = coServer === 'A' ? [this.#own, theirs] : [theirs, this.#own];
    const { verdict, sentence, items } = qualifier.compare(a, b);
    this.#judged = { verdict, sentence };
    this.items = items;
    this.#judgedAt = new Date().toISOString();
    judged(this.#judged);
    if (this.#judged.verdict === 'unknown') this.#readIn(UNKNOWN_AGAIN_MS);
  }

  #sayIfSilent(): void {
    if (this.#current() !== null) return;
    const other = this.#parts.coServer === 'A' ? 'B' : 'A';
    const why = `its qualification.policy may be none, or it runs an earlier version`;
    this.#judged = { verdict: 'unknown', sentence: `CoServer ${other} has not told what it is made of: ${why}` };
    this.#parts.judged(this.#judged);
  }

  // ---- what is kept ----------------------------------------------------------------------------------------------------------

  get #file(): string {
    return join(this.#parts.stateDir, FILE);
  }

  async #kept(qualifier: Qualifier<F>): Promise<Kept<F> | null> {
    try {
      const text = await readFile(this.#file, 'utf8');
      if (text.length > FILE_MAX_BYTES) throw new Error('it is too long');
      const { own, readAt } = JSON.parse(text) as Record<string, unknown>;
      if (typeof readAt !== 'string' || Number.isNaN(Date.parse(readAt))) throw new Error('it does not say when it was written');
      return { own: qualifier.parse(own), readAt };
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT')
        log('warning', `${this.#file} cannot be used, so nobody knows what has changed since: ${(e as Error).message}`);
      return null;
    }
  }

  async #keep(kept: Kept<F>): Promise<void> {
    const text = JSON.stringify({ schema: 1, ...kept, last: this.latest }, null, 1);
    try {
      await writeFile(`${this.#file}.new`, text, { mode: 0o600 });
      await rename(`${this.#file}.new`, this.#file);
    } catch (e) {
      log('warning', `${this.#file} cannot be written: ${(e as Error).message}`);
    }
  }
}
