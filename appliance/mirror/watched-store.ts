// The layer right above the medium: a disk that does not answer, or has failed a write or a flush, is over.
//
// A hung disk is worse than a dead one: whoever waits for it waits with it. So each request has its time; the first that is older makes the
// disk count as failed, and with it everything that waits for it or comes later fails at once. What a failed disk really holds nobody
// knows (a flush that failed may have dropped what it should have written, and the next one says "ok"), so nothing is tried again:
// the disk is opened anew, and what this copy should hold is sent to it again (doubtful-disk.ts).
//
// A request that hangs holds a thread of the pool that all threads of this process share, for as long as it hangs. So only some of
// them are given to one disk at a time: the journal, the record and everything else must go on beside it.
import {
  type BlockStore,
  type SpaceStore,
  StoreError,
  type StoreExtent,
  type StoreOperation,
  type ZeroOptions,
} from '../../drivers/block/index.ts';
import { Patience } from './patience.ts';

export interface WatchOptions {
  /** In the words of errors. */
  path: string;
  /** A request that takes longer: the disk has failed. */
  timeoutMs: number;
  /** Requests that the medium has at a time. */
  places: number;
  /** It has failed: by `error`, which every later request gets too. Once. */
  onFailed(error: StoreError): void;
  /** Monotonic ms. */
  now?(): number;
}

/** Threads of the pool that no hung disk may take. */
const KEPT_THREADS = 6;
/** Of libuv, when nothing else is set. */
const POOL_THREADS = 4;

/** How many requests a disk gets at a time, of the pool's threads that the environment says. */
export function placesOf(poolThreads: string | undefined): number {
  const threads = Number(poolThreads) || POOL_THREADS;
  return Math.max(1, Math.floor(threads / 2), threads - KEPT_THREADS);
}

/** Earlier stores of this process whose disk has not given back all requests: what these write late must not hit a copy made anew. */
const stuck = new Map<string, number>();

/** Throws if an earlier life of this disk has requests that never returned. */
export function mustBeDrained(path: string): void {
  const requests = stuck.get(path) ?? 0;
  if (requests > 0)
    throw new StoreError('setup', 'open', 0, `the disk ${path} still does not answer: ${requests} earlier requests have not returned`);
}

/** All of them, of all disks: each holds a thread of the pool. */
export function stuckRequests(): number {
  let requests = 0;
  for (const n of stuck.values()) requests += n;
  return requests;
}

/** The disk does not answer: unlike a request that failed, this says nothing of what became of it. */
export class SilentDiskError extends StoreError {
  override name = 'SilentDiskError';
}

interface Request {
  readonly operation: StoreOperation;
  readonly offset: number;
  readonly giveUp: (e: StoreError) => void;
}

export class WatchedStore implements SpaceStore {
  readonly sizeBytes: number;
  readonly #below: BlockStore;
  readonly #options: WatchOptions;
  readonly #patience: Patience;
  /** What the medium has, oldest first; and what waits for its place there. */
  readonly #given = new Set<Request>();
  readonly #queue: { go: () => void; giveUp: (e: StoreError) => void }[] = [];
  #places = 0;
  #failed: StoreError | undefined;
  #closed = false;

  constructor(below: BlockStore, options: WatchOptions) {
    this.sizeBytes = below.sizeBytes;
    this.#below = below;
    this.#options = options;
    this.#patience = new Patience({
      limitMs: options.timeoutMs,
      onExhausted: () => this.#giveUp(),
      ...(options.now ? { now: options.now } : {}),
    });
  }

  /** How long the oldest request has been waited for. */
  get oldestMs(): number {
    return this.#patience.oldestMs;
  }

  /** Why it is over; undefined: it is not. */
  get failure(): StoreError | undefined {
    return this.#failed;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#watched('read', offset, () => this.#below.read(offset, length));
  }

  write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    return this.#watched('write', offset, () => this.#below.write(offset, ...parts));
  }

  async zero(offset: number, length: number, options?: ZeroOptions): Promise<void> {
    await this.#watched('write', offset, () => this.#below.zero(offset, length, options));
  }

  async flush(): Promise<void> {
    await this.#watched('flush', 0, () => this.#below.flush());
  }

  async extents(offset: number, length: number): Promise<StoreExtent[]> {
    const below = this.#below;
    if (!isSpaceStore(below)) return [{ lengthBytes: length, hole: false, zero: false }];
    return await this.#watched('read', offset, () => below.extents(offset, length));
  }

  async canRelease(): Promise<boolean> {
    const below = this.#below;
    return isSpaceStore(below) && (await this.#watched('read', 0, () => below.canRelease()));
  }

  /** Does not wait for a disk that does not answer: that is closed when it has given back what it holds. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const closed = this.#below.close();
    if (this.#failed instanceof SilentDiskError) closed.catch(() => undefined);
    else {
      await closed;
      this.#patience.stop();
    }
  }

  #watched<T>(operation: StoreOperation, offset: number, work: () => Promise<T>): Promise<T> {
    if (this.#places >= this.#options.places) return this.#watchedInTurn(operation, offset, work);
    return new Promise<T>((resolve, giveUp) => {
      this.#mustWork(operation);
      this.#places++;
      this.#give(operation, offset, work, resolve, giveUp);
    });
  }

  async #watchedInTurn<T>(operation: StoreOperation, offset: number, work: () => Promise<T>): Promise<T> {
    this.#mustWork(operation);
    await new Promise<void>((go, giveUp) => this.#queue.push({ go, giveUp }));
    try {
      this.#mustWork(operation);
    } catch (e) {
      this.#leave();
      throw e;
    }
    return await new Promise<T>((resolve, giveUp) => this.#give(operation, offset, work, resolve, giveUp));
  }

  /** It has its place. */
  #give<T>(operation: StoreOperation, offset: number, work: () => Promise<T>, resolve: (v: T) => void, giveUp: (e: Error) => void): void {
    const request: Request = { operation, offset, giveUp };
    this.#given.add(request);
    const wait = this.#patience.begin();
    const returned = (): void => {
      this.#given.delete(request);
      this.#patience.end(wait);
      if (this.#failed instanceof SilentDiskError) this.#returnedLate();
      this.#leave();
    };
    work().then(
      (value) => {
        returned();
        resolve(value);
      },
      (e: Error) => {
        returned();
        if (e instanceof StoreError && operation !== 'read' && (e.kind === 'io' || e.kind === 'noSpace')) this.#fail(e);
        giveUp(e);
      },
    );
  }

  /** A disk that failed to write may still be read; one that is silent not even that. */
  #mustWork(operation: StoreOperation): void {
    if (this.#failed && (operation !== 'read' || this.#failed instanceof SilentDiskError)) throw this.#failed;
  }

  #leave(): void {
    const next = this.#queue.shift();
    if (next) next.go();
    else this.#places--;
  }

  #fail(error: StoreError): void {
    if (this.#failed) return;
    this.#failed = error;
    this.#options.onFailed(error);
  }

  #giveUp(): void {
    const { path, timeoutMs } = this.#options;
    const [oldest] = this.#given;
    const message = `${path}: the disk does not answer for ${Math.round(timeoutMs / 100) / 10} s`;
    const error = new SilentDiskError('io', oldest?.operation ?? 'read', oldest?.offset ?? 0, message);
    stuck.set(path, (stuck.get(path) ?? 0) + this.#given.size);
    this.#failed = error;
    for (const { giveUp } of [...this.#given, ...this.#queue.splice(0)]) giveUp(error);
    this.#options.onFailed(error);
  }

  #returnedLate(): void {
    const { path } = this.#options;
    const left = (stuck.get(path) ?? 1) - 1;
    if (left > 0) stuck.set(path, left);
    else stuck.delete(path);
  }
}

function isSpaceStore(store: BlockStore): store is SpaceStore {
  return 'extents' in store && 'canRelease' in store;
}
