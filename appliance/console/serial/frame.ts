// One whole screen of the serial console: title, page, message, keys. Pure.
import { countText } from '../format.ts';
import type { ConsoleModel } from '../model.ts';
import type { Dialog } from './dialog.ts';
import { ascii, BLANK, type Line, pad, plain } from './layout.ts';
import { actionLines, actionsOn, PAGES, type Page, pageLines, typedLines } from './pages.ts';
import { COLUMNS, ROWS } from './screen.ts';

/** Between the title and the two last rows. */
export const PAGE_ROWS = ROWS - 3;

export interface Frame {
  lines: Line[];
  /** As far as it can be scrolled: the dialog's may be beyond. */
  scroll: number;
}

export function frame(m: ConsoleModel, d: Dialog): Frame {
  const inActions =
    d.mode.kind === 'actions' || d.mode.kind === 'confirm' || d.mode.kind === 'word' || (d.mode.kind === 'waiting' && d.signedIn);
  const all =
    d.mode.kind === 'shown'
      ? shownLines(d.mode.text)
      : d.mode.kind === 'word'
        ? typedLines(d.mode.action, COLUMNS)
        : inActions
          ? actionLines(actionsOn(d.page, m), COLUMNS, d.mode.kind === 'actions' && d.mode.emergency)
          : pageLines(d.page, m, COLUMNS, d.evidence);
  const scroll = Math.min(d.scroll, Math.max(0, all.length - PAGE_ROWS));
  const shown = all.slice(scroll, scroll + PAGE_ROWS);
  const below = all.length - scroll - shown.length;
  return {
    lines: [
      titleLine(m),
      ...Array.from({ length: PAGE_ROWS }, (_, i) => shown[i] ?? BLANK),
      messageLine(d, scroll, below),
      keyLine(d, inActions),
    ],
    scroll,
  };
}

/** As it is, so that it can be copied. */
function shownLines(text: string): Line[] {
  return [
    BLANK,
    ...text
      .trimEnd()
      .split('\n')
      .map((row) => plain(ascii(row))),
  ];
}

function titleLine(m: ConsoleModel): Line {
  const { headline: h } = m;
  const left = ` TWINSTEP  CoServer ${h.coServer}  ${h.facts.map((f) => `${f.label.toLowerCase()} ${f.value}`).join(', ')}`;
  const right = `${h.date} ${h.clock} UTC `;
  return [{ text: `${pad(ascii(left), COLUMNS - right.length)}${right}`, style: 'reverse' }];
}

function messageLine(d: Dialog, above: number, below: number): Line {
  if (d.mode.kind === 'password')
    return [{ text: pad(`Password: ${'*'.repeat(Math.min(40, d.mode.typed.length))}_`, COLUMNS), style: 'bold' }];
  if (d.mode.kind === 'confirm')
    return [{ text: pad(ascii(`${d.mode.action.label}? y: ask for it, any other key: do not`), COLUMNS), style: 'bold' }];
  if (d.mode.kind === 'word')
    return [{ text: pad(ascii(`Type the word '${d.mode.word}' and press Enter: ${d.mode.typed}_`), COLUMNS), style: 'bold' }];
  if (d.mode.kind === 'shown') return [{ text: pad('To be treated as a password. Any key: back', COLUMNS), style: 'bold' }];
  if (d.message !== '') return [{ text: pad(ascii(d.message), COLUMNS), style: 'bold' }];
  if (above === 0 && below === 0) return BLANK;
  return plain(
    `-- ${above === 0 ? '' : `${countText(above, 'row')} above (p) `}${below === 0 ? '' : `${countText(below, 'row')} below (n) `}--`,
  );
}

/** As short as nine of them in one row need. */
const PAGE_WORD: Readonly<Record<Page, string>> = {
  overview: 'pair',
  events: 'log',
  takeover: 'loss',
  figures: 'rates',
  mode: 'mode',
  incidents: 'breaks',
  points: 'points',
  hardware: 'hardware',
  software: 'update',
};

function keyLine(d: Dialog, inActions: boolean): Line {
  // One place between two names, taken by the brackets of the page that is shown: all nine have room.
  const shown = inActions ? -1 : PAGES.indexOf(d.page);
  const pages = PAGES.map((page, i) => `${i === shown ? '[' : i === shown + 1 && shown >= 0 ? ']' : ' '}${i + 1} ${PAGE_WORD[page]}`).join(
    '',
  );
  const text = inActions
    ? d.mode.kind === 'word'
      ? ' Ctrl-C: do not ask   Backspace: erase'
      : ' Enter: back to the pages   e: emergency actions   q: sign out   Ctrl-L: redraw'
    : `${pages}${shown === PAGES.length - 1 ? ']' : ' '}a ask`;
  return [{ text: pad(text, COLUMNS - 1), style: 'reverse' }];
}
