// A VT100 as far as the console uses one; anything else in the bytes is an error.
import { Duplex } from 'node:stream';

interface Cell {
  char: string;
  style: string;
}

export class Terminal {
  row = 0;
  column = 0;
  style = '0';
  cells: Cell[][] = [];

  constructor() {
    this.#clear();
  }

  #clear(): void {
    this.cells = Array.from({ length: 24 }, () => Array.from({ length: 80 }, () => ({ char: ' ', style: '0' })));
  }

  write(bytes: string): void {
    let at = 0;
    while (at < bytes.length) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
      const match = /^\u001b\[([?0-9;]*)([A-Za-z])/.exec(bytes.slice(at));
      if (match) {
        this.#control(match[1] ?? '', match[2] ?? '');
        at += match[0].length;
        continue;
      }
      const char = bytes.charAt(at++);
      if (char < ' ' || char > '~') throw new Error(`byte ${char.charCodeAt(0)} at ${at}`);
      const cell = this.cells[this.row]?.[this.column];
      if (!cell || (this.row === 23 && this.column === 79)) throw new Error(`written outside: ${this.row},${this.column}`);
      cell.char = char;
      cell.style = this.style;
      this.column++;
    }
  }

  #control(parameters: string, final: string): void {
    if (final === 'H') {
      const [row = 1, column = 1] = parameters.split(';').map(Number);
      this.row = row - 1;
      this.column = column - 1;
    } else if (final === 'm') this.style = parameters;
    else if (final === 'J' && parameters === '2') this.#clear();
    else if ((final !== 'h' && final !== 'l') || !parameters.startsWith('?')) throw new Error(`sequence ${parameters}${final}`);
  }

  /** 24 lines without trailing spaces. */
  text(): string {
    return this.cells
      .map(
        (row) =>
          `${row
            .map((c) => c.char)
            .join('')
            .trimEnd()}\n`,
      )
      .join('');
  }

  styles(): string {
    return this.cells.map((row) => row.map((c) => c.style).join(',')).join('\n');
  }
}

/** A line with a terminal at its other end; `taking` false: nobody reads. */
export class FakeLine extends Duplex {
  readonly terminal = new Terminal();
  taking = true;
  bytes = 0;
  #pending: (() => void)[] = [];
  #waiting: { test: () => boolean; resolve: () => void }[] = [];

  constructor() {
    super({ writableHighWaterMark: 1024 });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    const take = (): void => {
      this.bytes += chunk.length;
      const text = chunk.toString('latin1');
      // The farewell moves on to a new line, which a screen has no row for.
      this.terminal.write(text.replace(/\r\n$/, ''));
      callback();
      this.#waiting = this.#waiting.filter((w) => {
        if (!w.test()) return true;
        w.resolve();
        return false;
      });
    };
    if (this.taking) take();
    else this.#pending.push(take);
  }

  takeAll(): void {
    this.taking = true;
    for (const take of this.#pending.splice(0)) take();
  }

  type(keys: string): void {
    this.push(Buffer.from(keys, 'utf8'));
  }

  shows(text: string | RegExp): Promise<void> {
    return this.until(() => (typeof text === 'string' ? this.terminal.text().includes(text) : text.test(this.terminal.text())));
  }

  until(test: () => boolean): Promise<void> {
    return new Promise((resolve) => (test() ? resolve() : this.#waiting.push({ test, resolve })));
  }
}
