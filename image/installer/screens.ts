// The installer's screens: 80 x 24, the same on the serial line and on the first screen. Pure.
import { durationText, sizeText } from '../../appliance/console/format.ts';
import { ascii, BLANK, bold, hanging, type Line, pad, plain, progressBar, wrap } from '../../appliance/console/serial/layout.ts';
import { COLUMNS, ROWS } from '../../appliance/console/serial/screen.ts';
import { DISKS_PER_SCREEN, firstShown, type Installation, type Mode, type Target, wordFor } from './dialogue.ts';
import { type DiskChoice, newerState } from './disk-choice.ts';
import { progressText } from './progress.ts';

const WIDTH = COLUMNS - 4;
const BODY_ROWS = ROWS - 4;

export function screen(state: Installation): Line[] {
  const body = bodyOf(state);
  return [
    [{ text: pad(ascii(` TWINSTEP ${state.version}  Installation`), COLUMNS), style: 'reverse' }],
    BLANK,
    ...Array.from({ length: BODY_ROWS }, (_, i) => body[i] ?? BLANK),
    state.message === '' ? BLANK : bold(pad(ascii(`  ${state.message}`), COLUMNS)),
    [{ text: pad(ascii(` ${keysOf(state)}`), COLUMNS - 1), style: 'reverse' }],
  ];
}

function bodyOf(state: Installation): Line[] {
  const { mode } = state;
  switch (mode.kind) {
    case 'looking':
      return text('Looking at the disks of this server ...');
    case 'choose':
      return diskList(state, mode.cursor);
    case 'how':
      return howLines(mode);
    case 'confirm':
      return confirmLines(state, mode);
    case 'working':
      return workingLines(mode);
    case 'done':
      return doneLines(mode.target, mode.tookMs, state.finally);
    case 'failed':
      return [bold('  Not installed.'), BLANK, ...text(mode.why).slice(0, 10), BLANK, ...text(mode.remedy)];
    case 'leaving':
      return text('This server starts again ...');
    default:
      throw new Error(`unknown mode ${String(mode satisfies never)}`);
  }
}

function keysOf({ mode, disks, finally: end }: Installation): string {
  switch (mode.kind) {
    case 'choose':
      return disks.length === 0
        ? 'R look again   Q leave, start again'
        : 'Up, Down, 1-9 disk   Enter take it   R look again   Q leave, start again';
    case 'how':
      return '1, 2, Up, Down choose   Enter go on   Esc Esc back';
    case 'confirm':
      return 'Enter install   Esc Esc back, nothing is written';
    case 'working':
      return 'Do not switch this server off now';
    case 'done':
      return end === null ? 'Enter start again' : '';
    case 'failed':
      return mode.final ? 'Q start again' : 'Enter back to the disks   Q leave, start again';
    case 'looking':
    case 'leaving':
      return '';
    default:
      throw new Error(`unknown mode ${String(mode satisfies never)}`);
  }
}

const text = (sentences: string): Line[] => wrap(sentences, WIDTH).map((row) => plain(`  ${row}`));

function diskList({ disks }: Installation, cursor: number): Line[] {
  if (disks.length === 0)
    return text('There is no disk in this server that its kernel knows. Look at cables, controller and its settings.');
  const first = firstShown(cursor);
  const rows = disks.slice(first, first + DISKS_PER_SCREEN).map(({ facts, refusal }, i): Line => {
    const isChosen = first + i === cursor;
    const row = ` ${isChosen ? '>' : ' '}${i + 1}  ${pad(ascii(facts.model), 24)} ${pad(ascii(facts.serial), 20)} ${sizeText(facts.bytes).padStart(8)}  ${refusal === null ? '' : 'cannot be taken'}`;
    return [{ text: pad(row, COLUMNS), style: isChosen ? 'bold' : 'plain' }];
  });
  const chosen = disks[cursor];
  const more = disks.length > DISKS_PER_SCREEN ? `  (${first + 1} to ${first + rows.length} of ${disks.length})` : '';
  return [
    plain(`  On which disk is Twinstep to be installed?${more}`),
    BLANK,
    plain(`     ${pad('Model', 24)} ${pad('Serial number', 20)} ${'Size'.padStart(8)}`),
    ...rows,
    BLANK,
    ...(chosen === undefined ? [] : details(chosen)),
  ];
}

function details({ facts, contents, refusal }: DiskChoice): Line[] {
  return [
    ...text(`${facts.device}: ${contents}`).slice(0, 4),
    ...(refusal === null ? [] : hanging('  Cannot be taken: ', `${refusal}.`, COLUMNS - 2)),
  ];
}

const nameOf = ({ facts }: DiskChoice): string =>
  `${facts.model || 'disk'}, serial number ${facts.serial || 'none'}, ${sizeText(facts.bytes)} (${facts.device})`;

function howLines({ disk, keep }: Extract<Mode, { kind: 'how' }>): Line[] {
  const option = (chosen: boolean, head: string, words: string): Line[] =>
    hanging(` ${chosen ? '>' : ' '}${head}  `, words, COLUMNS - 2, chosen ? 'bold' : 'plain');
  return [
    ...text(nameOf(disk)),
    ...text(`On it: ${disk.contents}.`),
    BLANK,
    ...option(
      keep,
      '1',
      'Keep its state: only Twinstep itself is written anew. Configuration, keys, logs and the disks of the guest stay.',
    ),
    BLANK,
    ...option(!keep, '2', 'Erase all of it, and begin as on an empty disk. Everything that is on it is lost.'),
  ];
}

function confirmLines(state: Installation, { target, typed }: Extract<Mode, { kind: 'confirm' }>): Line[] {
  const { disk, keep } = target;
  const newer = keep ? newerState(disk, state.version) : null;
  const fromSerial = disk.facts.serial.endsWith(disk.word);
  const what = fromSerial ? `the last ${disk.word.length} characters of its serial number` : 'its name';
  return [
    ...text(nameOf(disk)),
    ...text(`On it: ${disk.contents}.`),
    BLANK,
    ...(keep
      ? [bold('  Twinstep on this disk is replaced by this version. Its state stays.')]
      : [bold('  Everything on this disk will be lost.')]),
    ...(newer === null
      ? []
      : [
          BLANK,
          ...text(
            `That state was written by version ${newer}, which is newer than ${state.version}: this one may not understand it, and then this CoServer does not come back into its pair. Install ${newer} or a newer version instead (Esc), or erase the disk and pair it anew.`,
          ),
        ]),
    BLANK,
    ...text(`To go on${newer === null ? ', type' : " all the same, type 'older' and"} ${what}: ${wordFor(state, target)}`),
    BLANK,
    plain(`  > ${ascii(typed)}_`),
  ];
}

function workingLines({ target, phase, progress }: Extract<Mode, { kind: 'working' }>): Line[] {
  const fraction = progress.total === 0 ? 0 : progress.done / progress.total;
  const step = (name: string, isNow: boolean, isOver: boolean): Line =>
    isNow ? bold(`  [..] ${name}`) : plain(`  [${isOver ? 'ok' : '  '}] ${name}`);
  return [
    ...text(nameOf(target.disk)),
    BLANK,
    step('writing', phase === 'writing', phase === 'checking'),
    step('reading back and checking', phase === 'checking', false),
    BLANK,
    plain(`  ${progressBar(fraction, 60)}`),
    plain(`  ${progress.total === 0 ? '' : progressText(progress)}`),
  ];
}

function doneLines({ disk, keep }: Target, tookMs: number, end: Installation['finally']): Line[] {
  const next =
    end === 'off'
      ? 'This server switches itself off.'
      : end === 'restart'
        ? 'This server starts again from its disk.'
        : 'Take the installation medium out (the stick, or the CD-ROM of the BMC), then press Enter: this server starts again, from its disk.';
  return [
    bold(`  Installed in ${durationText(tookMs)}, read back, and found right.`),
    BLANK,
    ...text(nameOf(disk)),
    BLANK,
    ...text(next),
    BLANK,
    ...text(
      keep
        ? 'It goes on with the state that was there: its pair, its configuration, its disks.'
        : 'Then: the first boot asks what this server is to be, here and on the web. Install the other server of the pair in the same way.',
    ),
  ];
}
