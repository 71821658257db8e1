// Text in rows and columns for terminals: styled spans, wrapping, two columns, bars. Pure. ASCII only: a terminal on a UART may know
// nothing else, and every mark must be readable without colour.
import type { Fact, Tone } from '../model.ts';

export type Style = 'plain' | 'bold' | 'reverse';

export interface Span {
  text: string;
  style: Style;
}

export type Line = Span[];

export const plain = (text: string): Line => [{ text, style: 'plain' }];
export const bold = (text: string): Line => [{ text, style: 'bold' }];
export const BLANK: Line = [];

const SUBSTITUTES: Readonly<Record<string, string>> = {
  '‘': "'",
  '’': "'",
  '“': '"',
  '”': '"',
  '–': '-',
  '—': '-',
  '·': '-',
  '…': '...',
  '→': '->',
  '←': '<-',
  '×': 'x',
  '±': '+-',
  µ: 'u',
  '\u00a0': ' ',
};

/** Other characters become '?': better one odd sign than a garbled screen. */
export function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (c) => SUBSTITUTES[c] ?? '?');
}

export function toneMark(tone: Tone): string {
  switch (tone) {
    case 'good':
      return '[ok]';
    case 'info':
      return '[  ]';
    case 'warning':
      return '[!!]';
    case 'critical':
      return '[XX]';
    case 'unknown':
      return '[??]';
    default:
      throw new Error(`unknown tone ${String(tone satisfies never)}`);
  }
}

/** Breaks at spaces; a word longer than the width is cut. Never an empty list. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of ascii(text).split(' ')) {
    let rest = word;
    if (line !== '' && line.length + 1 + rest.length <= width) {
      line += ` ${rest}`;
      continue;
    }
    if (line !== '') lines.push(line);
    while (rest.length > width) {
      lines.push(rest.slice(0, width));
      rest = rest.slice(width);
    }
    line = rest;
  }
  lines.push(line);
  return lines;
}

export function indented(lines: readonly Line[], by: number): Line[] {
  return lines.map((line) => [{ text: ' '.repeat(by), style: 'plain' as const }, ...line]);
}

/** The first line begins with `head`, the others are indented to its length. */
export function hanging(head: string, text: string, width: number, style: Style = 'plain'): Line[] {
  const indent = ' '.repeat(head.length);
  return wrap(text, width - head.length).map((line, i) => [{ text: `${i === 0 ? head : indent}${line}`, style }]);
}

export function factLines(facts: readonly Fact[], labelWidth: number, width: number): Line[] {
  return facts.flatMap((f) => {
    const mark = f.tone === 'info' || f.tone === 'good' ? '' : `${toneMark(f.tone)} `;
    return hanging(`${pad(ascii(f.label), labelWidth)} `, `${mark}${f.value}`, width);
  });
}

export function lineWidth(line: Line): number {
  return line.reduce((sum, span) => sum + span.text.length, 0);
}

export function lineText(line: Line): string {
  return line
    .map((span) => span.text)
    .join('')
    .trimEnd();
}

export function pad(text: string, width: number): string {
  return text.length >= width ? text.slice(0, width) : text.padEnd(width);
}

/** Two blocks side by side, `gap` between them. */
export function sideBySide(left: readonly Line[], right: readonly Line[], leftWidth: number, gap: string): Line[] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => {
    const l = left[i] ?? BLANK;
    return [...l, { text: ' '.repeat(Math.max(0, leftWidth - lineWidth(l))) + gap, style: 'plain' as const }, ...(right[i] ?? BLANK)];
  });
}

/** '[#####-----]' of `width` characters in all. */
export function progressBar(fraction: number, width: number): string {
  const inner = width - 2;
  const done = Math.min(inner, Math.max(0, Math.floor(fraction * inner)));
  return `[${'#'.repeat(done)}${'-'.repeat(inner - done)}]`;
}

/** A span of a time line, at least one character wide. */
export function timeBar(start: number, width: number, columns: number): string {
  const from = Math.min(columns - 1, Math.floor(start * columns));
  const length = Math.max(1, Math.min(columns - from, Math.round(width * columns)));
  return `${' '.repeat(from)}${'='.repeat(length)}`.padEnd(columns);
}

/** Columns of '#', newest right; the top of the scale is written at the first row. Values must be >= 0. */
export function columnChart(values: readonly number[], columns: number, rows: number, label: (value: number) => string): Line[] {
  const shown = values.slice(-columns);
  const top = Math.max(...shown, 1e-9);
  const marks = [label(top), ...Array.from({ length: rows - 2 }, () => ''), label(0)];
  const gutter = Math.max(...marks.map((m) => m.length));
  return Array.from({ length: rows }, (_, row) => {
    const threshold = (rows - row - 0.5) / rows;
    const bars = shown.map((v) => (v / top >= threshold || (row === rows - 1 && v > 0) ? '#' : ' ')).join('');
    return plain(`${ascii(marks[row] ?? '').padStart(gutter)} |${bars}`);
  });
}
