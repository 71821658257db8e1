// A file of JSON lines that grows only so far: then it is set aside once, as .1, and begun anew. A full disk or a torn
// last line loses lines, never the process: arbitration does not wait for a log.
import { appendFile, readFile, rename, stat } from 'node:fs/promises';

/** Two files of this size bound the space. */
const FILE_BYTES = 4 << 20;

export class LineFile {
  readonly #path: string;
  #writing: Promise<void> = Promise.resolve();
  #size = -1;

  constructor(path: string) {
    this.#path = path;
  }

  append(line: object): void {
    const text = `${JSON.stringify(line)}\n`;
    this.#writing = this.#writing
      .then(async () => {
        if (this.#size < 0)
          this.#size = await stat(this.#path).then(
            (s) => s.size,
            () => 0,
          );
        if (this.#size > FILE_BYTES) {
          await rename(this.#path, `${this.#path}.1`);
          this.#size = 0;
        }
        await appendFile(this.#path, text, { mode: 0o600 });
        this.#size += text.length;
      })
      .catch(() => undefined);
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
