// What a person sees at the other end of a serial line: a VT100 of 80 columns and 24 rows, as far as firmware, boot loader and the product's
// console use one. Forgiving: what it does not know it leaves out. Pure: text in, rows out.
const COLUMNS = 80;
const ROWS = 24;
/** Longer is none that anybody sends: what was begun is dropped. */
const MAX_SEQUENCE_CHARS = 64;
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
const SEQUENCE = /^\u001b(?:\[([?=><0-9;]*)([@-~])|[()][A-Z0-9]|[^[()])/;

export class Terminal {
  #cells: string[][] = blank();
  #row = 0;
  #column = 0;
  #rest = '';

  write(text: string): void {
    let left = this.#rest + text;
    this.#rest = '';
    while (left !== '') {
      if (!left.startsWith('\x1b')) {
        const next = left.indexOf('\x1b');
        for (const char of next < 0 ? left : left.slice(0, next)) this.#put(char);
        left = next < 0 ? '' : left.slice(next);
        continue;
      }
      const sequence = SEQUENCE.exec(left);
      if (sequence === null) {
        // The rest of it comes with the next bytes.
        if (left.length < MAX_SEQUENCE_CHARS) {
          this.#rest = left;
          return;
        }
        left = left.slice(1);
        continue;
      }
      if (sequence[0] === '\x1bc') this.#clear();
      else if (sequence[2] !== undefined) this.#control(sequence[1] ?? '', sequence[2]);
      left = left.slice(sequence[0].length);
    }
  }

  /** 24 rows without the blanks behind them. */
  rows(): string[] {
    return this.#cells.map((row) => row.join('').trimEnd());
  }

  /** All rows as running text, for words that a row's end has parted. */
  text(): string {
    return this.rows().join(' ').replace(/\s+/g, ' ');
  }

  #clear(): void {
    this.#cells = blank();
    this.#row = 0;
    this.#column = 0;
  }

  #put(char: string): void {
    if (char === '\r') this.#column = 0;
    else if (char === '\n') this.#lineFeed();
    else if (char === '\b') this.#column = Math.max(0, this.#column - 1);
    else if (char >= ' ' && char !== '\x7f') {
      if (this.#column >= COLUMNS) {
        this.#column = 0;
        this.#lineFeed();
      }
      const row = this.#cells[this.#row];
      if (row !== undefined) row[this.#column++] = char;
    }
  }

  #lineFeed(): void {
    if (this.#row < ROWS - 1) this.#row++;
    else this.#cells = [...this.#cells.slice(1), blankRow()];
  }

  #control(parameters: string, final: string): void {
    const [first = Number.NaN, second = Number.NaN] = parameters.split(';').map((n) => (/^\d+$/.test(n) ? Number(n) : Number.NaN));
    const place = (n: number, most: number) => Math.min(Math.max(Number.isNaN(n) ? 1 : n, 1), most) - 1;
    switch (final) {
      case 'H':
      case 'f':
        this.#row = place(first, ROWS);
        this.#column = place(second, COLUMNS);
        return;
      case 'J':
        if (first === 2) this.#cells = blank();
        else if (Number.isNaN(first) || first === 0) this.#eraseFrom(this.#row, this.#column);
        return;
      case 'K':
        if (Number.isNaN(first) || first === 0) this.#cells[this.#row]?.fill(' ', this.#column);
        return;
      default:
        // Colours, modes, questions: nothing that moves a character.
        return;
    }
  }

  #eraseFrom(row: number, column: number): void {
    this.#cells[row]?.fill(' ', column);
    for (let below = row + 1; below < ROWS; below++) this.#cells[below] = blankRow();
  }
}

const blankRow = (): string[] => Array.from({ length: COLUMNS }, () => ' ');
const blank = (): string[][] => Array.from({ length: ROWS }, blankRow);
