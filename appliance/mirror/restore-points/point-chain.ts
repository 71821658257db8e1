// The files of before-images of an open disk, oldest first: which ones a point reads, where new images go, what cannot be read now.
import type { Catalogue, PointEntry } from './catalogue-codec.ts';
import type { Segment } from './segment.ts';

export class PointChain {
  readonly #catalogue: () => Catalogue;
  readonly #segments: Map<string, Segment>;
  readonly #unavailable: Map<string, string>;
  #active: Segment | undefined;
  #lacksTail = false;
  /** From the oldest to the active one. */
  #chain: Segment[] = [];

  /**
   * @param segments By id: those that could be opened.
   * @param unavailable By id: the others, and why. What they hold may come back.
   */
  constructor(catalogue: () => Catalogue, segments: Map<string, Segment>, unavailable: Map<string, string>) {
    this.#catalogue = catalogue;
    this.#segments = segments;
    this.#unavailable = unavailable;
    for (const p of catalogue().points) {
      const segment = segments.get(p.id);
      if (segment) this.#chain.push(segment);
      if (this.hasFile(p.id)) this.#lacksTail = !segment;
    }
    this.#active = this.#lacksTail ? undefined : this.#chain.at(-1);
  }

  /** Where before-images go; undefined: there is no point, or the newest file is not available. */
  get active(): Segment | undefined {
    return this.#active;
  }

  /** The newest file is not available: the first overwrite makes one that follows it. */
  get lacksTail(): boolean {
    return this.#lacksTail;
  }

  /** What is overwritten must be kept. */
  get isKeeping(): boolean {
    return this.#active !== undefined || this.#lacksTail;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const s of this.#segments.values()) bytes += s.bytes;
    return bytes;
  }

  segment(id: string): Segment | undefined {
    return this.#segments.get(id);
  }

  /** Also one that is not available. */
  hasFile(id: string): boolean {
    return this.#segments.has(id) || this.#unavailable.has(id);
  }

  /** Why a point cannot be read now, though nothing of it is known to be lost; empty: it can. It reads newer files as well as its own. */
  whyUnavailable(id: string): string {
    if (this.#unavailable.size === 0) return '';
    const { points } = this.#catalogue();
    const missing = points.slice(points.findIndex((p) => p.id === id)).find((p) => this.#unavailable.has(p.id));
    return missing ? (this.#unavailable.get(missing.id) ?? '') : '';
  }

  /** Segments that a point reads from, oldest first. Rejects with the reason why it cannot be read. */
  from({ id, name, state, trouble }: PointEntry): Segment[] {
    const segment = this.#segments.get(id);
    if (trouble !== '') throw new Error(`the restore point '${name}' cannot be used: ${trouble}`);
    const unavailable = state === 'kept' ? this.whyUnavailable(id) : '';
    if (unavailable !== '') throw new Error(`the restore point '${name}' is not available: ${unavailable}`);
    if (state !== 'kept' || !segment || !this.#chain.includes(segment))
      throw new Error(`the restore point '${name}' is not there any more`);
    return this.#chain.slice(this.#chain.indexOf(segment));
  }

  /** Points that read a grain from that file. */
  readersOf(segmentId: string, grain: number): Set<string> {
    const ids = new Set<string>();
    for (const [i, s] of this.#chain.entries()) {
      const source = this.#chain.slice(i).find((other) => other.has(grain));
      // What reads a file that is not available may have another image of it there.
      if (source?.id === segmentId && this.whyUnavailable(s.id) === '') ids.add(s.id);
    }
    return ids;
  }

  /** Its file is there; nothing goes there yet. */
  add(segment: Segment): void {
    this.#segments.set(segment.id, segment);
  }

  /** From here on before-images go there. */
  follow(segment: Segment): void {
    this.#active = segment;
    this.#lacksTail = false;
    this.#chain = [...this.#chain, segment];
  }

  /** Nothing is kept any more. The files are still there. */
  end(): void {
    this.#active = undefined;
    this.#lacksTail = false;
    this.#chain = [];
  }

  /** The file goes. */
  drop(id: string): void {
    const segment = this.#segments.get(id);
    this.#segments.delete(id);
    this.#unavailable.delete(id);
    this.#chain = this.#chain.filter((s) => s !== segment);
    if (segment !== undefined && segment === this.#active) this.#active = undefined;
    if (this.#unavailable.size === 0) this.#lacksTail = false;
    // One that hangs is not waited for.
    segment?.close().catch(() => undefined);
  }

  /** Images of removed points that an older file covers are given back. */
  async releaseCovered(): Promise<void> {
    // Points before a removed one read from the last of them on; whatever stands in there hides what is behind.
    let older: Segment[] = [];
    for (const { id, state } of this.#catalogue().points) {
      const s = this.#chain.find((c) => c.id === id);
      if (state !== 'removed') older = s ? [s] : [];
      else if (s) {
        if (s !== this.#active) for (const grain of [...s.grains()]) if (older.some((o) => o.has(grain))) await s.forget(grain);
        older.push(s);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#segments.values()].map((s) => s.close()));
  }
}
