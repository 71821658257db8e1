// What a VT100 shows and the bytes that change it into what it should show: only the cells that differ, in few moves, because a UART at
// 115200 baud carries 11.5 kB/s: a whole screen takes 170 ms. Pure.
// Codes: ECMA-48 CUP, SGR 0/1/7, ED 2; DEC private mode 7 (no wrapping at the last column), 25 (cursor).
import type { Line, Style } from './layout.ts';

export const COLUMNS = 80;
export const ROWS = 24;

/** Moving the cursor costs up to eight bytes: shorter gaps of equal cells are written again. */
const GAP_CELLS = 8;

const SGR: Readonly<Record<Style, string>> = { plain: '\u001b[0m', bold: '\u001b[0;1m', reverse: '\u001b[0;7m' };

interface Cell {
  char: string;
  style: Style;
}

export type Grid = Cell[][];

/** Lines beyond the screen are cut. The last cell stays empty: writing it scrolls some terminals. */
export function gridOf(lines: readonly Line[]): Grid {
  return Array.from({ length: ROWS }, (_, row) => {
    const cells: Cell[] = [];
    for (const span of lines[row] ?? [])
      for (const char of span.text) cells.push({ char: /^[\x20-\x7e]$/.test(char) ? char : '?', style: span.style });
    while (cells.length < COLUMNS) cells.push({ char: ' ', style: 'plain' });
    cells.length = COLUMNS;
    if (row === ROWS - 1) cells[COLUMNS - 1] = { char: ' ', style: 'plain' };
    return cells;
  });
}

/** Bytes that turn `shown` into `wanted`; `shown` null: nothing is known of the terminal. '' when they are equal. */
export function changes(shown: Grid | null, wanted: Grid): string {
  let out = shown ? '' : '\u001b[0m\u001b[2J\u001b[?7l\u001b[?25l';
  let style: Style | null = null;
  for (let row = 0; row < ROWS; row++) {
    for (const [from, to] of runs(shown?.[row] ?? null, wanted[row] ?? [])) {
      out += `\u001b[${row + 1};${from + 1}H`;
      for (const cell of (wanted[row] ?? []).slice(from, to)) {
        if (cell.style !== style) out += SGR[cell.style];
        style = cell.style;
        out += cell.char;
      }
    }
  }
  return style === null || style === 'plain' ? out : `${out}${SGR.plain}`;
}

function runs(shown: readonly Cell[] | null, wanted: readonly Cell[]): [number, number][] {
  const found: [number, number][] = [];
  for (let i = 0; i < wanted.length; i++) {
    const cell = wanted[i];
    const before = shown ? shown[i] : { char: ' ', style: 'plain' };
    if (!cell || (before?.char === cell.char && before.style === cell.style)) continue;
    const last = found.at(-1);
    if (last && i - last[1] < GAP_CELLS) last[1] = i + 1;
    else found.push([i, i + 1]);
  }
  return found;
}
