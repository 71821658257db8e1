// Blocks of the disk of which nobody knows the right content, or that no copy has any more: the guest gets an I/O error for them until the
// operator has chosen a copy, or the guest itself overwrites the whole block. The list is durable, and the same on both CoServers while
// they are joined, so both replicas of the guest get the same answer.
//
// A block that comes on the list is held for a moment first: it may be mended at once, and the partner must know of it before the first
// guest gets an error. Not longer: the engine ends every request before a checkpoint, and with one that waits the whole guest stands still.
import { open, readFile, rename } from 'node:fs/promises';
import { StoreError } from '../../drivers/block/index.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import { endsWithin, mustBeDrained } from './stuck-requests.ts';
import { MAX_QUARANTINED } from './verify-codec.ts';

const HEADER = 'twinstep-quarantine-1';
/**
 * From when a block came on the list. A repair from the partner, or the list on its way there, takes two flushes and some ms; a checkpoint
 * that waits for this still has most of ENGINE_WITHIN_MS (memory/answer-deadline.ts).
 */
export const QUARANTINE_HOLD_MS = 1_000;

interface Waiting {
  isFree(): boolean;
  go(): void;
}

/** A block that the guest here has given its content itself, where it alone sees it. */
type IsOwn = (start: number) => boolean;

export class Quarantine {
  readonly #path: string;
  readonly #changed: () => void;
  readonly #holdMs: number;
  /** First bytes, and until when (performance.now) requests wait. */
  readonly #blocks: Map<number, number>;
  #waiting: Waiting[] = [];
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(path: string, offsets: number[], changed: () => void, holdMs: number) {
    this.#path = path;
    // Of an earlier life: the moment is over.
    this.#blocks = new Map(offsets.map((start) => [start, -Infinity]));
    this.#changed = changed;
    this.#holdMs = holdMs;
  }

  /** @param changed The list is another one now. @param holdMs Other than QUARANTINE_HOLD_MS in tests. */
  static async open(path: string, changed: () => void, holdMs = QUARANTINE_HOLD_MS): Promise<Quarantine> {
    mustBeDrained(path);
    const text = await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
      if (e.code === 'ENOENT') return null;
      throw e;
    });
    return new Quarantine(path, text === null ? [] : parse(text, path), changed, holdMs);
  }

  /** Byte offsets, ascending. */
  get offsets(): number[] {
    return [...this.#blocks.keys()].sort((a, b) => a - b);
  }

  /** Durable when it ends. None is added if not all can be. */
  async add(...offsets: readonly number[]): Promise<void> {
    const added = new Set(offsets.map(blockStart).filter((start) => !this.#blocks.has(start)));
    if (added.size === 0) {
      await this.#writing;
      return;
    }
    if (this.#blocks.size + added.size > MAX_QUARANTINED)
      throw new Error(
        `${this.#blocks.size} blocks are in quarantine, and ${added.size} more would be over ${MAX_QUARANTINED}: no single blocks are lost, go back to a restore point or restore a backup`,
      );
    this.#enter(added);
    this.#changed();
    await this.#write();
  }

  /** Every whole block of the range has a known content, on both copies. Served from now on; durable when it ends. */
  async lift(offset: number, length: number): Promise<void> {
    const lifted = this.#wholeIn(offset, length);
    if (lifted.length === 0) return;
    for (const start of lifted) this.#blocks.delete(start);
    this.#changed();
    this.#letGo();
    await this.#write();
  }

  /** What the partner, who serves the guest, says. Durable when it ends. */
  async replace(offsets: readonly number[]): Promise<void> {
    const wanted = new Set(offsets.map(blockStart));
    const gone = [...this.#blocks.keys()].filter((start) => !wanted.has(start));
    const added = [...wanted].filter((start) => !this.#blocks.has(start));
    if (gone.length === 0 && added.length === 0) {
      await this.#writing;
      return;
    }
    for (const start of gone) this.#blocks.delete(start);
    this.#enter(added);
    this.#changed();
    this.#letGo();
    await this.#write();
  }

  has(offset: number): boolean {
    return this.#blocks.has(blockStart(offset));
  }

  /** A whole block of the range is on the list: to be lifted when it was overwritten. */
  hasWhole(offset: number, length: number): boolean {
    return this.#blocks.size > 0 && this.#wholeIn(offset, length).length > 0;
  }

  /** Before a read: undefined if it is served. Rejects with the guest's I/O error, at once or after the moment. */
  beforeRead(offset: number, length: number, isOwn?: IsOwn): Promise<void> | undefined {
    if (this.#blocks.size === 0) return undefined;
    return this.#hold('read', () => this.#among(blockStart(offset), offset + length, isOwn));
  }

  /** Before a write, as for a read: a block that it fills is given a content by it. */
  beforeWrite(offset: number, length: number, isOwn?: IsOwn): Promise<void> | undefined {
    if (this.#blocks.size === 0 || length === 0) return undefined;
    const edges = new Set([blockStart(offset), blockStart(offset + length - 1)]);
    const isFilled = (start: number): boolean => offset <= start && offset + length >= start + SUM_BLOCK_BYTES;
    const parts = [...edges].filter((start) => !isFilled(start));
    return this.#hold('write', () => parts.flatMap((start) => this.#among(start, start + 1, isOwn)));
  }

  /** Nobody is served any more: whoever waits is dropped with his connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting = [];
    await endsWithin(this.#path, this.#writing);
  }

  #enter(offsets: Iterable<number>): void {
    const until = performance.now() + this.#holdMs;
    for (const start of offsets) this.#blocks.set(start, until);
  }

  #wholeIn(offset: number, length: number): number[] {
    return [...this.#blocks.keys()].filter((start) => start >= offset && start + SUM_BLOCK_BYTES <= offset + length);
  }

  /** What of the range is not served. */
  #among(start: number, end: number, isOwn: IsOwn | undefined): number[] {
    return [...this.#blocks.keys()].filter((o) => o < end && o + SUM_BLOCK_BYTES > start && !isOwn?.(o));
  }

  /** bad: looked at again whenever the list has changed. */
  #hold(operation: 'read' | 'write', bad: () => number[]): Promise<void> | undefined {
    if (bad().length === 0) return undefined;
    return new Promise((resolve, reject) => {
      const look = (): void => {
        this.#waiting = this.#waiting.filter((w) => w !== waiting);
        if (this.#isClosed) return;
        const blocks = bad();
        const [first] = blocks;
        if (first === undefined) {
          resolve();
          return;
        }
        const leftMs = Math.min(...blocks.map((start) => this.#blocks.get(start) ?? -Infinity)) - performance.now();
        if (leftMs <= 0) {
          reject(new StoreError('io', operation, first, `the block at ${first} is in quarantine: nobody knows its right content`));
          return;
        }
        this.#waiting.push(waiting);
        setTimeout(look, Math.ceil(leftMs)).unref();
      };
      const waiting: Waiting = { isFree: () => bad().length === 0, go: resolve };
      look();
    });
  }

  #letGo(): void {
    for (const w of [...this.#waiting]) {
      if (!w.isFree()) continue;
      this.#waiting = this.#waiting.filter((other) => other !== w);
      w.go();
    }
  }

  /** One after the other; what was asked for while one runs is in the next. */
  #write(): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(() => (this.#isClosed ? undefined : writeDurably(this.#path, this.offsets)));
    return this.#writing;
  }
}

export function blockStart(offset: number): number {
  return Math.floor(offset / SUM_BLOCK_BYTES) * SUM_BLOCK_BYTES;
}

function parse(text: string, path: string): number[] {
  const [header, ...lines] = text.trim().split('\n');
  const offsets = lines.map(Number);
  if (header !== HEADER || offsets.some((o) => !Number.isSafeInteger(o) || o < 0 || o % SUM_BLOCK_BYTES !== 0))
    throw new Error(
      `${path} is damaged: it lists the blocks of the disk whose content is not known. Restore it, or remove it to serve them`,
    );
  return offsets;
}

async function writeDurably(path: string, offsets: readonly number[]): Promise<void> {
  const part = `${path}.part`;
  const file = await open(part, 'w', 0o600);
  try {
    await file.writeFile(`${[HEADER, ...offsets].join('\n')}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(part, path);
  const folder = await open(path.slice(0, path.lastIndexOf('/')) || '/', 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
