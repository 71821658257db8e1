// A disk that failed is in doubt, durably, until its copy was made equal to the partner's again.
//
// After a failed flush the operating system may go on showing what the disk does not hold: its cache counts as written. So of a disk in
// doubt nothing is believed that was read from it: a resync sends every block that may differ, and compares none. And before that it has
// to pass a test: some of its blocks are written as they are, flushed, and read back.
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import { endsWithin, mustBeDrained } from './stuck-requests.ts';
import { SilentDiskError } from './watched-store.ts';

const TEST_BYTES = 4096;
/** Places that are tried, from the first block to the last one. */
const TEST_PLACES = 5;

export class DoubtfulDisk {
  readonly #path: string;
  #why: string | null;
  #marking: Promise<void> = Promise.resolve();

  private constructor(path: string, why: string | null) {
    this.#path = path;
    this.#why = why;
  }

  /** @param path Of the mark, on another disk than the one that is meant. */
  static async open(path: string): Promise<DoubtfulDisk> {
    mustBeDrained(path);
    const text = await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
      if (e.code === 'ENOENT') return null;
      throw e;
    });
    return new DoubtfulDisk(path, text === null ? null : text.trim() || 'unknown');
  }

  /** How it failed; null: it is not in doubt. */
  get why(): string | null {
    return this.#why;
  }

  /** From now on; durable when it ends. */
  doubt(why: string): Promise<void> {
    if (this.#why === null) {
      this.#why = why;
      this.#marking = this.#mark(why);
    }
    return this.#marking;
  }

  /** The mark is there, or it is known that it cannot be made: before that the disk must not be opened again, and it is not. */
  async settled(): Promise<void> {
    await endsWithin(this.#path, this.#marking);
  }

  async #mark(why: string): Promise<void> {
    const part = `${this.#path}.part`;
    const file = await open(part, 'w', 0o600);
    try {
      await file.writeFile(`${why}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, this.#path);
    await syncFolder(this.#path);
  }

  /** Its copy was made equal: what it holds now was written after it had passed its test. */
  async trust(): Promise<void> {
    if (this.#why === null) return;
    await rm(this.#path, { force: true });
    await syncFolder(this.#path);
    this.#why = null;
  }

  /** Nothing to do if it is not in doubt. Rejects with what failed. @param disk The medium: what lies above would not read a bad block. */
  async test(disk: BlockStore): Promise<void> {
    if (this.#why === null) return;
    const last = Math.floor(disk.sizeBytes / TEST_BYTES) - 1;
    for (let i = 0; i < TEST_PLACES; i++) {
      const at = Math.floor((last * i) / (TEST_PLACES - 1)) * TEST_BYTES;
      const length = Math.min(TEST_BYTES, disk.sizeBytes - at);
      if (length <= 0) continue;
      const found = await disk.read(at, length).catch((e: Error) => {
        if (e instanceof SilentDiskError) throw e;
        // One block that cannot be read is not the disk; and nobody knows what to write there.
        return null;
      });
      if (found === null) continue;
      await disk.write(at, found);
      await disk.flush();
      if (!found.equals(await disk.read(at, length)))
        throw new StoreError('io', 'write', at, `the disk does not hold what was written at ${at}`);
    }
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
