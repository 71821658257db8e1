// Lines about the same thing are told once in a while, with how often it happened since: a stranger that knocks a thousand
// times a second fills no disk.

const PAUSE_MS = 10_000;
/** Kinds that are kept apart (kind and whom it concerns); beyond, the oldest is forgotten. */
const MAXIMUM_KINDS = 1_000;

export class SeldomLog {
  readonly #log: (text: string) => void;
  readonly #now: () => number;
  readonly #kinds = new Map<string, { toldAt: number; unsaid: number }>();

  /** `now`: monotonic ms. */
  constructor(log: (text: string) => void, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  say(kind: string, text: string): void {
    const now = this.#now();
    const known = this.#kinds.get(kind);
    if (known && now - known.toldAt < PAUSE_MS) {
      known.unsaid++;
      return;
    }
    this.#kinds.delete(kind);
    this.#kinds.set(kind, { toldAt: now, unsaid: 0 });
    const [oldest] = this.#kinds.keys();
    if (this.#kinds.size > MAXIMUM_KINDS && oldest !== undefined) this.#kinds.delete(oldest);
    this.#log(known && known.unsaid > 0 ? `${text} (and ${known.unsaid} times more since it was last told)` : text);
  }
}
