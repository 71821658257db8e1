// Blocks of the disk of which nobody knows the right content: what the guest wants of them waits until the operator has chosen, or the
// guest itself overwrites the whole block. The list is durable, and the same on both CoServers while they are joined.
import { open, readFile, rename } from 'node:fs/promises';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import { endsWithin, mustBeDrained } from './stuck-requests.ts';
import { MAX_QUARANTINED } from './verify-codec.ts';

const HEADER = 'twinstep-quarantine-1';

export class Quarantine {
  readonly #path: string;
  readonly #changed: () => void;
  readonly #offsets: Set<number>;
  #waiting: { start: number; end: number; go: () => void }[] = [];
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(path: string, offsets: number[], changed: () => void) {
    this.#path = path;
    this.#offsets = new Set(offsets);
    this.#changed = changed;
  }

  /** @param changed The list is another one now. */
  static async open(path: string, changed: () => void): Promise<Quarantine> {
    mustBeDrained(path);
    const text = await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
      if (e.code === 'ENOENT') return null;
      throw e;
    });
    return new Quarantine(path, text === null ? [] : parse(text, path), changed);
  }

  /** Byte offsets, ascending. */
  get offsets(): number[] {
    return [...this.#offsets].sort((a, b) => a - b);
  }

  /** Durable when it ends. */
  async add(offset: number): Promise<void> {
    const start = blockStart(offset);
    if (this.#offsets.has(start)) return;
    if (this.#offsets.size >= MAX_QUARANTINED) throw new Error(`${MAX_QUARANTINED} blocks wait already: make the copies equal as a whole`);
    this.#offsets.add(start);
    this.#changed();
    await this.#write();
  }

  /** Every whole block of the range has a known content, on both copies. */
  async lift(offset: number, length: number): Promise<void> {
    const lifted = this.#wholeIn(offset, length);
    if (lifted.length === 0) return;
    for (const start of lifted) this.#offsets.delete(start);
    this.#changed();
    await this.#write();
    this.#letGo();
  }

  /** What the partner, who serves the guest, says. Durable when it ends. */
  async replace(offsets: readonly number[]): Promise<void> {
    const same = offsets.length === this.#offsets.size && offsets.every((o) => this.#offsets.has(o));
    if (same) return;
    this.#offsets.clear();
    for (const offset of offsets) this.#offsets.add(blockStart(offset));
    this.#changed();
    await this.#write();
    this.#letGo();
  }

  /** A whole block of the range waits: to be lifted when it was overwritten. */
  hasWhole(offset: number, length: number): boolean {
    return this.#offsets.size > 0 && this.#wholeIn(offset, length).length > 0;
  }

  /** Before a read: undefined if nothing of the range waits. */
  beforeRead(offset: number, length: number): Promise<void> | undefined {
    return this.#free(blockStart(offset), offset + length);
  }

  /** Before a write: a block that it fills need not wait. */
  beforeWrite(offset: number, length: number): Promise<void> | undefined {
    if (this.#offsets.size === 0 || length === 0) return undefined;
    const [first, last] = [blockStart(offset), blockStart(offset + length - 1)];
    const waits: Promise<void>[] = [];
    for (const start of first === last ? [first] : [first, last]) {
      if (offset <= start && offset + length >= start + SUM_BLOCK_BYTES) continue;
      const wait = this.#free(start, start + 1);
      if (wait) waits.push(wait);
    }
    return waits.length > 0 ? Promise.all(waits).then(() => undefined) : undefined;
  }

  /** Nobody is served any more: whoever waits is dropped with his connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting = [];
    await endsWithin(this.#path, this.#writing);
  }

  #wholeIn(offset: number, length: number): number[] {
    return [...this.#offsets].filter((start) => start >= offset && start + SUM_BLOCK_BYTES <= offset + length);
  }

  #isFree(start: number, end: number): boolean {
    for (const o of this.#offsets) if (o < end && o + SUM_BLOCK_BYTES > start) return false;
    return true;
  }

  #free(start: number, end: number): Promise<void> | undefined {
    if (this.#offsets.size === 0 || this.#isFree(start, end)) return undefined;
    return new Promise((go) => this.#waiting.push({ start, end, go }));
  }

  #letGo(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const w of waiting) {
      if (this.#isFree(w.start, w.end)) w.go();
      else this.#waiting.push(w);
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
