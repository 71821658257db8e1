// What a page says, piece by piece, for every kind of console; and its rows on one of 80 columns. Pure.
import { ascii, BLANK, bold, hanging, type Line, pad, plain, wrap } from '../console/serial/layout.ts';
import { COLUMNS } from '../console/serial/screen.ts';

export type Block =
  | { kind: 'text'; text: string }
  /** Between others: an empty row. */
  | { kind: 'gap' }
  | { kind: 'finding'; tone: 'good' | 'note' | 'wrong'; text: string }
  /** What a finding rests on. */
  | { kind: 'rule'; text: string }
  /** To be compared, digit by digit. */
  | { kind: 'code'; text: string }
  | { kind: 'fact'; label: string; value: string }
  | { kind: 'table'; columns: readonly Column[]; rows: readonly (readonly string[])[] }
  | PortsBlock;

export interface Column {
  title: string;
  /** Characters on a terminal. */
  width: number;
}

/** A table whose last column is asked: the page's fields, one for each row. */
export interface PortsBlock {
  kind: 'ports';
  rows: readonly { number: number; cells: readonly [string, string, string, string, string]; use: string; fieldId: string }[];
  /** Row of the cursor. */
  at: number;
}

export const PORT_COLUMNS: readonly string[] = ['name', 'driver', 'MAC address', 'cable', 'place'];
const PORT_WIDTHS = [9, 7, 17, 8, 12] as const;
const LABEL_COLUMNS = 18;
const RULE_ROWS = 2;
/** Rows of ports that have room beside what is said; the rest comes when the cursor goes there. */
export const PORTS_SHOWN = 12;

const GAP: Block = { kind: 'gap' };

/** Paragraphs with room between them. */
export const text = (...paragraphs: string[]): Block[] =>
  paragraphs.flatMap((p, i): Block[] => [...(i === 0 ? [] : [GAP]), { kind: 'text', text: p }]);

export const wrong = (sentence: string): Block => ({ kind: 'finding', tone: 'wrong', text: sentence });

export const linesOf = (blocks: readonly Block[]): Line[] => blocks.flatMap(blockLines);

const MARKS = { good: '[ok] ', note: '[  ] ', wrong: '[!!] ' } as const;

function blockLines(block: Block): Line[] {
  switch (block.kind) {
    case 'text':
      return wrap(block.text, COLUMNS - 2).map((row) => plain(` ${row}`));
    case 'gap':
      return [BLANK];
    case 'finding':
      return hanging(` ${MARKS[block.tone]}`, block.text, COLUMNS - 1, block.tone === 'wrong' ? 'bold' : 'plain');
    case 'rule':
      return hanging('      ', block.text, COLUMNS - 1).slice(0, RULE_ROWS);
    case 'code':
      return [bold(`      ${block.text}`)];
    case 'fact':
      return hanging(` ${pad(block.label, LABEL_COLUMNS)}`, block.value === '' ? 'none' : block.value, COLUMNS - 1);
    case 'table': {
      const row = (cells: readonly string[]): string => cells.map((c, i) => pad(ascii(c), block.columns[i]?.width ?? 0)).join('');
      return [
        bold(`   ${row(block.columns.map((c) => c.title))}`.trimEnd()),
        ...block.rows.map((cells) => plain(`   ${row(cells)}`.trimEnd())),
      ];
    }
    case 'ports':
      return portLines(block);
    default:
      return block satisfies never;
  }
}

function portLines({ rows, at }: PortsBlock): Line[] {
  const cells = (texts: readonly string[]): string => texts.map((c, i) => pad(ascii(c), PORT_WIDTHS[i] ?? 0)).join(' ');
  const from = Math.max(0, Math.min(at - 1, rows.length - PORTS_SHOWN));
  return [
    bold(`  # ${cells(PORT_COLUMNS)} use`),
    ...rows.slice(from, from + PORTS_SHOWN).map((row, i): Line => {
      const isHere = from + i === at;
      return [
        { text: pad(`${isHere ? '>' : ' '}${String(row.number).padStart(2)} `, 4), style: isHere ? 'bold' : 'plain' },
        { text: `${cells(row.cells)} `, style: 'plain' },
        { text: pad(`< ${row.use} >`, 17), style: isHere ? 'reverse' : 'plain' },
      ];
    }),
  ];
}
