// Two mirrors joined in memory, on real files, of which some hang or fail when a test says so.
import { type BlockStore, FileStore, type FileStoreOptions, StoreError } from '../../../../drivers/block/index.ts';
import { MirrorPair } from './mirror-pair.ts';

const SIZE_BYTES = 8 * 1024 * 1024;

/** What the disk below some files does. */
export class Fault {
  hangs: Promise<void> | null = null;
  fails: 'write' | 'flush' | null = null;
  /** Requests that it has not answered. */
  waiting = 0;
  /** Where something was written. */
  readonly written = new Set<number>();
  #release: () => void = () => {};

  hang(): void {
    this.hangs = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  mend(): void {
    this.#release();
    this.hangs = null;
    this.fails = null;
  }

  under(store: BlockStore): BlockStore {
    const pass = async (operation: 'read' | 'write' | 'flush'): Promise<void> => {
      if (this.hangs) {
        this.waiting++;
        await this.hangs;
        this.waiting--;
      }
      if (operation === this.fails) throw new StoreError('io', operation, 0, `${operation} failed`);
    };
    return {
      sizeBytes: store.sizeBytes,
      read: (...a) => pass('read').then(() => store.read(...a)),
      write: (at, ...parts) => {
        this.written.add(at);
        return pass('write').then(() => store.write(at, ...parts));
      },
      zero: (...a) => pass('write').then(() => store.zero(...a)),
      flush: () => pass('flush').then(() => store.flush()),
      close: () => store.close(),
    };
  }
}

/** file: how the paths of those that the fault is below end. */
export function faultyPair(
  t: { teardown(f: () => Promise<void>): void },
  file: string,
  setup: { timeoutMs?: number; acknowledgeMs?: number },
): [MirrorPair, Fault] {
  const fault = new Fault();
  const openStore = async (o: FileStoreOptions): Promise<BlockStore> => {
    const store = await FileStore.open(o);
    return o.path.endsWith(file) ? fault.under(store) : store;
  };
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore, setup });
  const alive = setInterval(() => undefined, 1000);
  t.teardown(async () => {
    clearInterval(alive);
    fault.mend();
    await pair.end();
  });
  return [pair, fault];
}
