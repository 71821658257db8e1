// One whole screen of the dialogue, 80 x 24: title, page, message, keys. Pure. What every page says beside its fields is in `pages.ts`.
import { ascii, BLANK, type Line, pad, plain, wrap } from '../console/serial/layout.ts';
import { COLUMNS, ROWS } from '../console/serial/screen.ts';
import { linesOf } from './blocks.ts';
import { type Field, fieldsOf } from './fields.ts';
import { pageBlocks, TITLES } from './pages.ts';
import { PAGES, type SetupFacts, type SetupState } from './state.ts';

/** Between the title and what is below: two rows of message, one of keys. */
export const BODY_ROWS = ROWS - 5;
const MESSAGE_ROWS = 2;
const LABEL_COLUMNS = 32;
/** As much of a text as has room; its end is what is being typed. */
const VALUE_COLUMNS = 40;

export function setupPicture(state: SetupState, facts: SetupFacts): Line[] {
  const fields = fieldsOf(state, facts);
  const page = pageBlocks(state, facts);
  const [above, below] = [linesOf(page.above), linesOf(page.below)];
  // Ports have their fields inside their table.
  const asked = state.page === 'ports' ? [] : fields.map((field, i) => fieldLine(field, i === state.cursor));
  const fixed = [...above, ...(asked.length > 0 ? [BLANK, ...asked] : [])];
  const shown = [...fixed.slice(0, BODY_ROWS), ...cut(below.length > 0 ? [BLANK, ...below] : [], BODY_ROWS - fixed.length)];
  const told = wrap(messageOf(state), COLUMNS - 2).slice(0, MESSAGE_ROWS);
  return [
    titleLine(state, facts),
    BLANK,
    ...Array.from({ length: BODY_ROWS }, (_, i) => shown[i] ?? BLANK),
    ...Array.from({ length: MESSAGE_ROWS }, (_, i): Line => (told[i] ? [{ text: ` ${told[i]}`, style: 'bold' }] : BLANK)),
    [{ text: pad(keysOf(state, fields), COLUMNS - 1), style: 'reverse' }],
  ];
}

/** What has room; the last row says that there is more. */
function cut(lines: Line[], rows: number): Line[] {
  if (lines.length <= rows) return lines;
  return rows < 2 ? [] : [...lines.slice(0, rows - 1), plain(`      ... and ${lines.length - rows + 1} rows more`)];
}

/** What is to be read now; '': nothing. */
export function messageOf(state: SetupState): string {
  switch (state.busy) {
    case null:
      return state.message;
    case 'password':
      return 'One moment...';
    case 'clock':
      return 'Setting the clock...';
    case 'write':
      return 'Writing...';
    default:
      return state.busy satisfies never;
  }
}

function titleLine(state: SetupState, facts: SetupFacts): Line {
  const step = PAGES.indexOf(state.page) + 1;
  const side = state.isServerChosen ? `  CoServer ${state.values.coServer ?? ''}` : '';
  const left = ` TWINSTEP ${facts.version}${side}  First start: ${TITLES[state.page]}`;
  const right = `${step} of ${PAGES.length} `;
  return [{ text: `${pad(ascii(left), COLUMNS - right.length)}${right}`, style: 'reverse' }];
}

export function fieldLine(field: Field, isHere: boolean): Line {
  const label = pad(`${isHere ? ' > ' : '   '}${ascii(field.label)}`, LABEL_COLUMNS);
  return [
    { text: label, style: isHere ? 'bold' : 'plain' },
    { text: ' ', style: 'plain' },
    { text: pad(valueText(field, isHere), VALUE_COLUMNS + 4), style: isHere ? 'reverse' : 'plain' },
  ];
}

function valueText(field: Field, isHere: boolean): string {
  switch (field.kind) {
    case 'choice':
      return `< ${ascii(field.choices.find((c) => c.value === field.value)?.text ?? field.value)} >`;
    case 'secret':
      return ` ${'*'.repeat(Math.min(field.value.length, VALUE_COLUMNS))}${isHere ? '_' : ''}`;
    case 'text': {
      const text = ascii(field.value);
      return ` ${text.slice(-VALUE_COLUMNS)}${isHere ? '_' : ''}`;
    }
    default:
      return field.kind satisfies never;
  }
}

export const goOnText = (page: SetupState['page']): string => (page === 'summary' ? 'write and start' : 'go on');

function keysOf(state: SetupState, fields: readonly Field[]): string {
  if (state.page === 'done') return ' Nothing more to do here';
  const isLast = state.cursor >= fields.length - 1;
  const enter = isLast ? `Enter: ${goOnText(state.page)}` : 'Enter: next';
  const choice = fields[state.cursor]?.kind === 'choice' ? '   Space: change' : '';
  const move = fields.length > 1 ? '   Up/Down: move' : '';
  const back = state.page === 'server' ? '' : '   Ctrl-C: back';
  return ` ${enter}${choice}${move}${back}   Ctrl-L: draw anew`;
}
