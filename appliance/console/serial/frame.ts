// One whole screen of the serial console: title, page, message, keys. Pure.
import { countText } from '../format.ts';
import type { ConsoleModel } from '../model.ts';
import { fieldAt, type SettingForm, shownValue } from '../settings-views.ts';
import { type Dialog, mayRenew } from './dialog.ts';
import { ascii, BLANK, hanging, type Line, pad, plain } from './layout.ts';
import { actionLines, actionsOn, PAGES, type Page, pageLines, typedLines } from './pages.ts';
import { recoveryLines, recoveryPrompt } from './recovery-dialog.ts';
import { COLUMNS, ROWS } from './screen.ts';
import { formLines } from './settings-pages.ts';

/** Between the title and the two last rows. */
export const PAGE_ROWS = ROWS - 3;

export interface Frame {
  lines: Line[];
  /** As far as it can be scrolled: the dialog's may be beyond. */
  scroll: number;
}

export function frame(m: ConsoleModel, d: Dialog, hasRecoveryKey = false): Frame {
  const inActions =
    d.mode.kind === 'actions' ||
    d.mode.kind === 'confirm' ||
    d.mode.kind === 'word' ||
    d.mode.kind === 'form' ||
    (d.mode.kind === 'waiting' && d.signedIn);
  const all =
    d.mode.kind === 'form'
      ? formLines(d.mode.form, COLUMNS)
      : d.mode.kind === 'recovery'
        ? [BLANK, ...recoveryLines(d.mode.step, COLUMNS)]
        : d.mode.kind === 'shown'
          ? d.mode.isSecret
            ? shownLines(d.mode.text)
            : hanging('', d.mode.text, COLUMNS)
          : d.mode.kind === 'word'
            ? typedLines(d.mode.action, COLUMNS)
            : inActions
              ? [
                  ...(mayRenew(d, { hasRecoveryKey })
                    ? [plain('r: a new recovery key for the encrypted state of this server'), BLANK]
                    : []),
                  ...actionLines(actionsOn(d.page, m), COLUMNS, d.mode.kind === 'actions' && d.mode.emergency),
                ]
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
  if (d.mode.kind === 'form') return [{ text: pad(ascii(formPrompt(d.mode.form)), COLUMNS), style: 'bold' }];
  const prompt = d.mode.kind === 'recovery' && d.message === '' ? recoveryPrompt(d.mode.step) : null;
  if (prompt !== null) return [{ text: pad(ascii(prompt), COLUMNS), style: 'bold' }];
  if (d.mode.kind === 'shown')
    return [{ text: pad(`${d.mode.isSecret ? 'To be treated as a password. ' : ''}Any key: back`, COLUMNS), style: 'bold' }];
  if (d.message !== '') return [{ text: pad(ascii(d.message), COLUMNS), style: 'bold' }];
  if (above === 0 && below === 0) return BLANK;
  return plain(
    `-- ${above === 0 ? '' : `${countText(above, 'row')} above (p) `}${below === 0 ? '' : `${countText(below, 'row')} below (n) `}--`,
  );
}

/** The end of what is typed stays in sight. */
function formPrompt(form: SettingForm): string {
  const field = fieldAt(form);
  if (!field) return form.canAccept ? 'Do it all the same? y: yes, any other key: no' : 'Change it? y: yes, any other key: no';
  if (field.kind === 'choice') return `${field.label}: < ${shownValue(field, form.values[field.id] ?? '')} >   space: another one`;
  const room = COLUMNS - field.label.length - 4;
  return `${field.label}: ${shownValue(field, form.values[field.id] ?? '').slice(-room)}_`;
}

/** As short as ten of them in one row need. */
const PAGE_WORD: Readonly<Record<Page, string>> = {
  overview: 'pair',
  events: 'log',
  takeover: 'loss',
  figures: 'rates',
  mode: 'mode',
  incidents: 'breaks',
  points: 'points',
  hardware: 'hw',
  software: 'update',
  settings: 'set',
};

function keyLine(d: Dialog, inActions: boolean): Line {
  // One place between two names, taken by the brackets of the page that is shown: all ten have room, the last one by the key 0.
  const shown = inActions ? -1 : PAGES.indexOf(d.page);
  const pages = PAGES.map(
    (page, i) => `${i === shown ? '[' : i === shown + 1 && shown >= 0 ? ']' : ' '}${(i + 1) % 10} ${PAGE_WORD[page]}`,
  ).join('');
  const text =
    d.mode.kind === 'recovery'
      ? ' Enter: go on   Ctrl-C: leave it as it is   Backspace: erase   Ctrl-L: redraw'
      : inActions
        ? d.mode.kind === 'form'
          ? ' Enter: next   arrows: up and down   Backspace: erase   Ctrl-C: change nothing'
          : d.mode.kind === 'word'
            ? ' Ctrl-C: do not ask   Backspace: erase'
            : ' Enter: back to the pages   e: emergency actions   q: sign out   Ctrl-L: redraw'
        : `${pages}${shown === PAGES.length - 1 ? ']' : ' '}a ask`;
  return [{ text: pad(text, COLUMNS - 1), style: 'reverse' }];
}
