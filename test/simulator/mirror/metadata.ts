// What a copy of the disk durably knows of itself: its record in two slots, and the map of its suspect extents in pages, as
// appliance/mirror/metadata.ts writes them. What is under way when the power goes may be there, not there, or torn.
import { type ActivityLog, activityLog, beginWrite, endWrite } from '../../../appliance/core/activity-log.ts';
import type { CopyRecord } from '../../../appliance/core/mirror.ts';
import type { Random } from '../random.ts';
import { EXTENTS } from './medium.ts';

const EXTENTS_PER_PAGE = 3;
const PAGES = EXTENTS / EXTENTS_PER_PAGE;
/** So few that extents cool down all the time. */
const HOT = { most: 2, kept: 1 };

interface Slot {
  counter: number;
  record: CopyRecord;
}
type Item = Slot | ReadonlySet<number> | 'torn' | null;

const SLOTS = 2;

/** On the disk: two slots, then the pages. */
export class MetadataMedium {
  readonly stable: Item[] = new Array<Item>(SLOTS + PAGES).fill(null);
  readonly #cache = new Map<number, Item>();
  readonly #begun = new Map<number, Item>();

  read(at: number): Item {
    const cached = this.#cache.get(at);
    return cached === undefined ? (this.stable[at] ?? null) : cached;
  }

  begin(at: number, item: Item): void {
    this.#begun.set(at, item);
  }

  /** Written and flushed, with all that was written before. */
  end(items: readonly number[]): void {
    for (const at of items) {
      const item = this.#begun.get(at);
      if (item !== undefined) this.#cache.set(at, item);
      this.#begun.delete(at);
    }
    for (const [at, item] of this.#cache) this.stable[at] = item;
    this.#cache.clear();
  }

  processEnded(random: Random): void {
    for (const [at, item] of this.#begun) if (random.chance(0.5)) this.#cache.set(at, item);
    this.#begun.clear();
  }

  powerLost(random: Random): void {
    for (const [at, item] of [...this.#cache, ...this.#begun]) {
      const how = random.next();
      if (how < 0.4) this.stable[at] = item;
      else if (how < 0.6) this.stable[at] = 'torn';
    }
    this.#cache.clear();
    this.#begun.clear();
  }

  /** Both slots, or all of it. */
  clear(to: 'torn' | null): void {
    this.#cache.clear();
    this.#begun.clear();
    if (to === null) this.stable.fill(null);
    for (let at = 0; at < SLOTS; at++) this.stable[at] = to;
  }

  damage(slot: 0 | 1): void {
    this.stable[slot] = 'torn';
  }

  /** The newest of what is whole, and stable. */
  get record(): CopyRecord | null {
    return newest([this.stable[0] ?? null, this.stable[1] ?? null])?.record ?? null;
  }

  get isMirrored(): boolean {
    const [a, b] = [this.read(0), this.read(1)];
    return this.#begun.size === 0 && this.#cache.size === 0 && isSlot(a) && isSlot(b) && a.counter === b.counter;
  }
}

function isSlot(item: Item): item is Slot {
  return item !== null && item !== 'torn' && 'record' in item;
}

function newest(items: readonly Item[]): Slot | null {
  let found: Slot | null = null;
  for (const item of items) if (isSlot(item) && (!found || item.counter > found.counter)) found = item;
  return found;
}

/** How a write with its flush is done: one of them is called when it is over, in this life of the process. */
export type Io = (done: () => void, failed: () => void) => void;

interface Waiter {
  go: () => void;
  failed: () => void;
}

/** While it is open. */
export class Metadata {
  readonly log: ActivityLog;
  readonly #medium: MetadataMedium;
  readonly #io: Io;
  #counter: number;
  record: CopyRecord;
  /** Suspect on stable media, whichever page writes are under way. */
  readonly #durable: Set<number>;
  readonly #stale = new Set<number>();
  #waiters: Waiter[] = [];
  #isFailed = false;
  #isWriting = false;
  readonly #changes: { change: (r: CopyRecord) => CopyRecord; done: () => void; failed: () => void }[] = [];

  private constructor(medium: MetadataMedium, io: Io, slot: Slot, suspects: Iterable<number>) {
    this.#medium = medium;
    this.#io = io;
    this.#counter = slot.counter;
    this.record = slot.record;
    this.log = activityLog(suspects, HOT);
    this.#durable = new Set(this.log.suspects);
  }

  /** Null: nothing whole is recorded. */
  static open(medium: MetadataMedium, io: Io): Metadata | null {
    const slot = newest([medium.read(0), medium.read(1)]);
    if (!slot) return null;
    const suspects: number[] = [];
    for (let page = 0; page < PAGES; page++) {
      const found = medium.read(SLOTS + page);
      if (found instanceof Set) suspects.push(...(found as Set<number>));
      else for (let i = 0; i < EXTENTS_PER_PAGE; i++) suspects.push(page * EXTENTS_PER_PAGE + i);
    }
    return new Metadata(medium, io, slot, suspects);
  }

  /** Of a disk of which nothing is known. */
  static create(medium: MetadataMedium, io: Io, record: CopyRecord): Metadata {
    medium.clear(null);
    const all = Array.from({ length: PAGES }, (_, page) => SLOTS + page);
    for (const at of all) medium.begin(at, new Set());
    medium.begin(0, { counter: 0, record });
    medium.end([0, ...all]);
    return new Metadata(medium, io, { counter: 0, record }, []);
  }

  /** Durable at `done`; then it goes to the other slot too. */
  change(change: (r: CopyRecord) => CopyRecord, done: () => void, failed: () => void): void {
    this.#changes.push({ change, done, failed });
    if (this.#changes.length === 1) this.#next();
  }

  #next(): void {
    const first = this.#changes[0];
    if (!first) return;
    const slot = { counter: ++this.#counter, record: first.change(this.record) };
    const at = this.#counter % 2;
    const over = (): void => {
      this.#changes.shift();
      this.#next();
    };
    this.#medium.begin(at, slot);
    this.#io(
      () => {
        this.#medium.end([at]);
        this.record = slot.record;
        first.done();
        this.#medium.begin(1 - at, slot);
        this.#io(() => {
          this.#medium.end([1 - at]);
          over();
        }, over);
      },
      () => {
        first.failed();
        over();
      },
    );
  }

  /** Before a write to the extent: `go` is called when it may go out, at once if the extent is hot. */
  begin(extent: number, interval: number, go: () => void, failed: () => void): void {
    beginWrite(this.log, extent, interval);
    if (this.#durable.has(extent)) go();
    else this.#untilDurable(extent, { go, failed });
  }

  end(extent: number): void {
    endWrite(this.log, extent);
  }

  suspect(extents: Iterable<number>, done: () => void, failed: () => void): void {
    let open = 1;
    let isWell = true;
    const ended = (): void => {
      if (--open > 0) return;
      if (isWell) done();
      else failed();
    };
    const notWell = (): void => {
      isWell = false;
      ended();
    };
    for (const extent of extents) {
      this.log.suspects.add(extent);
      if (this.#durable.has(extent)) continue;
      open++;
      this.#untilDurable(extent, { go: ended, failed: notWell });
    }
    ended();
  }

  clear(extents: Iterable<number>): void {
    for (const e of extents) this.#stale.add(pageOf(e));
    this.#write();
  }

  #untilDurable(extent: number, waiter: Waiter): void {
    if (this.#isFailed) {
      waiter.failed();
      return;
    }
    this.#stale.add(pageOf(extent));
    this.#waiters.push(waiter);
    this.#write();
  }

  #write(): void {
    if (this.#isWriting || this.#stale.size === 0) return;
    this.#isWriting = true;
    const pages = [...this.#stale];
    this.#stale.clear();
    const waiters = this.#waiters;
    this.#waiters = [];
    const isOurs = (extent: number): boolean => pages.includes(pageOf(extent));
    // From the first byte on the media may say the old or the new: only what both say is durable.
    for (const e of this.#durable) if (isOurs(e) && !this.log.suspects.has(e)) this.#durable.delete(e);
    const written = [...this.log.suspects].filter(isOurs);
    for (const page of pages) this.#medium.begin(SLOTS + page, new Set(written.filter((e) => pageOf(e) === page)));
    this.#io(
      () => {
        this.#medium.end(pages.map((page) => SLOTS + page));
        this.#isWriting = false;
        for (const e of written) this.#durable.add(e);
        for (const w of waiters) w.go();
        this.#write();
      },
      () => {
        // Never tried again: nothing cold may be written any more.
        this.#isFailed = true;
        for (const w of [...waiters, ...this.#waiters.splice(0)]) w.failed();
      },
    );
  }
}

function pageOf(extent: number): number {
  return Math.floor(extent / EXTENTS_PER_PAGE);
}
