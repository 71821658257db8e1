// A file of JSON lines that grows only so far: then it is set aside once, as .1, and begun anew. A full disk or a torn
// last line loses lines, never the process: arbitration does not wait for a log.
import { appendFileSync } from 'node:fs';
import { appendFile, open, readFile, rename, stat } from 'node:fs/promises';

/** Two files of this size bound the space. */
const FILE_BYTES = 4 << 20;
/** A disk that takes no more for so many lines loses those that follow. */
const QUEUE_LINES = 10_000;
/** What led to a loss of power is worth a flush, but not one that a takeover's own record must wait for on the same disk. */
const FLUSH_AFTER_MS = 2_000;

interface Waiting {
  text: string;
  opening: (() => object) | undefined;
}

export class LineFile {
  readonly #path: string;
  readonly #limitBytes: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;
  #size = -1;
  #flush: NodeJS.Timeout | null = null;

  constructor(path: string, limitBytes = FILE_BYTES) {
    this.#path = path;
    this.#limitBytes = limitBytes;
  }

  /** opening: the first line of a file that begins with this line because the one before was full. */
  append(line: object, opening?: () => object): void {
    if (this.#waiting.length >= QUEUE_LINES) return;
    this.#waiting.push({ text: `${JSON.stringify(line)}\n`, opening });
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  /** Before this process ends itself: what still waits is written at once. */
  flushNow(): void {
    const text = this.#waiting.map((w) => w.text).join('');
    this.#waiting = [];
    try {
      if (text) appendFileSync(this.#path, text, { mode: 0o600 });
    } catch {
      // The same disk that loses lines; nobody is left to be told.
    }
  }

  /** When all that was appended so far is written, or lost. */
  async settled(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #write(): Promise<void> {
    // Not in the caller's own turn: what has to be done about the event comes first.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        let text = batch.map((w) => w.text).join('');
        if (this.#size < 0) {
          this.#size = await stat(this.#path).then(
            (s) => s.size,
            () => 0,
          );
          // The last line of an earlier life may be torn: ours begins on its own.
          if (this.#size > 0) text = `\n${text}`;
        }
        if (this.#size > this.#limitBytes) {
          await rename(this.#path, `${this.#path}.1`);
          this.#size = 0;
          const opening = batch[0]?.opening;
          if (opening) text = `${JSON.stringify(opening())}\n${text}`;
        }
        await appendFile(this.#path, text, { mode: 0o600 });
        this.#size += Buffer.byteLength(text);
        this.#flush ??= setTimeout(() => void this.#flushToDisk(), FLUSH_AFTER_MS).unref();
      } catch {
        // Lost: the next ones may find room again.
      }
    }
  }

  async #flushToDisk(): Promise<void> {
    this.#flush = null;
    try {
      const file = await open(this.#path, 'r+');
      try {
        await file.datasync();
      } finally {
        await file.close();
      }
    } catch {
      // As with a write that fails: the next one may go well.
    }
  }

  /** The whole lines, oldest first. A line torn by a power failure is left out. */
  async read(): Promise<unknown[]> {
    const text = await readFile(this.#path, 'utf8').catch((e: NodeJS.ErrnoException) => {
      if (e.code === 'ENOENT') return '';
      throw e;
    });
    const lines: unknown[] = [];
    // After a power failure a file system may show what was not flushed as zeros.
    for (const line of text.replaceAll('\0', '').split('\n')) {
      if (!line) continue;
      try {
        lines.push(JSON.parse(line));
      } catch {
        // Torn: the others are whole.
      }
    }
    return lines;
  }
}
