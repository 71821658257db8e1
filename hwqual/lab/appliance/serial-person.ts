// A person at a machine's serial console: sees what it shows, as a terminal of 80 by 24 does, and types. Sees also what was said before somebody
// sat down: QEMU keeps everything in a file, which is followed here.
import { closeSync, type FSWatcher, openSync, readSync, statSync, watch, writeFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { LabError } from '../lab-error.ts';
import { Terminal } from './terminal.ts';

/** Kept of what was said since power on: a boot says a few pages, each picture of the pair is one. */
const MAX_SAID_CHARS = 1 << 20;
/** Of a file, at once. */
const READ_BYTES = 1 << 16;
const REDRAW = '\f';

export class SerialPerson {
  readonly name: string;
  readonly #path: string;
  readonly #watcher: FSWatcher;
  #at = 0;
  #said = '';
  #terminal = new Terminal();
  #waiting: (() => void)[] = [];
  #line: Duplex | null = null;

  /** `path`: what the machine says is appended there. */
  constructor(name: string, path: string) {
    this.name = name;
    this.#path = path;
    writeFileSync(path, '', { flag: 'a' });
    this.#at = statSync(path).size;
    this.#watcher = watch(path, () => this.#read());
  }

  /** From here on, what was said before does not count: the machine gets power. */
  forget(): void {
    this.#read();
    this.#said = '';
    this.#terminal = new Terminal();
  }

  /** `line`: the serial line to type on, for as long as the machine has power. */
  sitDown(line: Duplex): void {
    this.#line = line;
    // It is read from the file; read here too, or the line fills up.
    line.on('data', () => undefined);
    line.on('error', () => undefined);
  }

  getUp(): void {
    this.#line?.destroy();
    this.#line = null;
  }

  type(keys: string): void {
    if (this.#line === null) throw new LabError(`nobody sits at the console of machine ${this.name}`);
    this.#line.write(keys);
  }

  said(): string {
    return this.#said;
  }

  screen(): string[] {
    return this.#terminal.rows();
  }

  /** A line that was said since power on; answers the match. */
  hears(pattern: RegExp, timeoutS: number): Promise<RegExpExecArray> {
    return this.#until(() => pattern.exec(this.#said), timeoutS, `${pattern} is not said`);
  }

  /** On the screen as it is then, read as running text. */
  sees(pattern: RegExp, timeoutS: number): Promise<RegExpExecArray> {
    return this.#until(() => pattern.exec(this.#terminal.text()), timeoutS, `${pattern} is not shown`);
  }

  /** Types, and again after each `againS` until it is shown: whoever was starting has not read the first keys. */
  async typesUntil(keys: string, pattern: RegExp, timeoutS: number, againS: number): Promise<RegExpExecArray> {
    for (let leftS = timeoutS; ; leftS -= againS) {
      this.type(keys);
      const found = await this.sees(pattern, Math.min(againS, leftS)).catch((error: Error) => {
        if (leftS <= againS) throw error;
        return null;
      });
      if (found !== null) return found;
    }
  }

  redraw(): void {
    this.type(REDRAW);
  }

  close(): void {
    this.getUp();
    this.#watcher.close();
  }

  #until<T>(look: () => T | null, timeoutS: number, complaint: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = () => {
        this.#read();
        const found = look();
        if (found === null) return false;
        clearTimeout(timer);
        this.#waiting = this.#waiting.filter((w) => w !== check);
        resolve(found);
        return true;
      };
      const timer = setTimeout(() => {
        // What came at last may not have been told of.
        if (check()) return;
        this.#waiting = this.#waiting.filter((w) => w !== check);
        reject(new LabError(`machine ${this.name}: ${complaint} within ${timeoutS} s; the screen:\n${this.screen().join('\n')}`));
      }, timeoutS * 1000);
      if (!check()) this.#waiting.push(check);
    });
  }

  #read(): void {
    const size = statSync(this.#path).size;
    if (size <= this.#at) return;
    const fd = openSync(this.#path, 'r');
    try {
      const bytes = Buffer.alloc(READ_BYTES);
      while (this.#at < size) {
        const count = readSync(fd, bytes, 0, Math.min(READ_BYTES, size - this.#at), this.#at);
        if (count === 0) break;
        this.#at += count;
        const text = bytes.toString('latin1', 0, count);
        this.#said = (this.#said + text).slice(-MAX_SAID_CHARS);
        this.#terminal.write(text);
      }
    } finally {
      closeSync(fd);
    }
    for (const look of [...this.#waiting]) look();
  }
}
