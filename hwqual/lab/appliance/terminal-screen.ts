// What somebody at the serial line would see: the last 24 rows of 80 columns. Firmware, kernel and product all write there, so what is not known of a
// terminal's language is skipped. Pure.
const ROWS = 24;
const COLUMNS = 80;

export class TerminalScreen {
  #rows: string[][] = blank();
  #row = 0;
  #column = 0;
  #open = '';

  write(text: string): void {
    const all = this.#open + text;
    // A sequence may be cut between two chunks: it waits for its end.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
    const cut = /\u001b(\[[0-9;?]*)?$/.exec(all);
    this.#open = cut ? cut[0] : '';
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
    for (const match of all.slice(0, all.length - this.#open.length).matchAll(/\u001b\[([0-9;?]*)([A-Za-z])|\u001b[^[]|([\s\S])/g)) {
      const [, numbers = '', command, char] = match;
      if (command !== undefined) this.#control(numbers, command);
      else if (char !== undefined) this.#put(char);
    }
  }

  rows(): string[] {
    return this.#rows.map((row) => row.join('').trimEnd());
  }

  #control(numbers: string, command: string): void {
    const [first = 0, second = 0] = numbers.split(';').map(Number);
    if (command === 'H') {
      this.#row = Math.min(ROWS, Math.max(1, first || 1)) - 1;
      this.#column = Math.min(COLUMNS, Math.max(1, second || 1)) - 1;
    } else if (command === 'J' && first === 2) this.#rows = blank();
  }

  #put(char: string): void {
    if (char === '\r') this.#column = 0;
    else if (char === '\n') this.#down();
    else if (char >= ' ' && char <= '~') {
      const row = this.#rows[this.#row];
      if (row && this.#column < COLUMNS) row[this.#column] = char;
      this.#column++;
    }
  }

  #down(): void {
    if (this.#row < ROWS - 1) {
      this.#row++;
      return;
    }
    this.#rows = [...this.#rows.slice(1), ...blank().slice(0, 1)];
  }
}

function blank(): string[][] {
  return Array.from({ length: ROWS }, () => Array.from({ length: COLUMNS }, () => ' '));
}
