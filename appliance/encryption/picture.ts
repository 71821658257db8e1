// What the two dialogues show, 80 x 24. Pure.
import { BLANK, bold, type Line, pad, plain, wrap } from '../console/serial/layout.ts';
import { COLUMNS, ROWS } from '../console/serial/screen.ts';
import type { StateDialogue } from './dialogue.ts';

const text = (...paragraphs: string[]): Line[] =>
  paragraphs.flatMap((p, i) => [...(i === 0 ? [] : [BLANK]), ...wrap(p, COLUMNS - 2).map((row) => plain(` ${row}`))]);

interface Page {
  title: string;
  lines: Line[];
  keys: string;
}

const field = (label: string, value: string): Line => [
  { text: pad(` > ${label}`, 34), style: 'bold' },
  { text: pad(` ${value}`, 45), style: 'reverse' },
];

function pageOf({ page, wanted, typed, recoveryKey, why, isUnattended }: StateDialogue): Page {
  switch (page) {
    case 'question':
      return {
        title: 'First start: encryption',
        lines: [
          ...text(
            'This server has a TPM 2.0. Its state partition can be encrypted: configuration, keys, logs and, if they lie there, disks of the guest. The TPM keeps the key, and gives it when this server starts as it does now: nobody types anything at a start.',
            'Who takes the disk out, or throws it away, then gives nothing away. Without Secure Boot whoever has the whole server still gets in. It is decided now, before anything is kept: later only by installing anew.',
          ),
          BLANK,
          field('Encrypt the state of this server', wanted === 'tpm2' ? '< yes, the TPM keeps the key >' : '< no >'),
        ],
        keys: ' Enter: go on   Space: change   Ctrl-L: draw anew',
      };
    case 'making':
      return {
        title: 'First start: encryption',
        lines: text('One moment: the TPM makes and keeps a key, the partition is made.'),
        keys: ' ',
      };
    case 'key':
      return {
        title: 'First start: recovery key',
        lines: [
          ...text(
            'The state is encrypted. Write this recovery key down now, for this server, and keep it where the server is not. It is not shown again.',
          ),
          BLANK,
          bold(`      ${recoveryKey}`),
          BLANK,
          ...text(
            'It is asked for when the TPM does not give its key: another board, a TPM that was cleared, Secure Boot switched on or off or with other keys. Without both this server is installed anew; its partner still has everything of the guest.',
            ...(isUnattended ? ['Answered by an answer file: it goes on by itself in two minutes, unless somebody types.'] : []),
          ),
          BLANK,
          field('Its last four characters', `${typed}_`),
        ],
        keys: ' Enter: go on   Ctrl-L: draw anew',
      };
    case 'locked':
      return {
        title: 'The state is locked',
        lines: [
          ...text(
            'The state partition of this server is encrypted, and its TPM does not give the key:',
            `${why}.`,
            "If somebody changed the board, the TPM or Secure Boot, type this server's recovery key. If nobody did, find out who first: this server may start something else than it should.",
            'Its partner goes on meanwhile.',
          ),
          BLANK,
          plain(' Recovery key'),
          [
            { text: ' > ', style: 'bold' },
            { text: pad(` ${typed}_`, 70), style: 'reverse' },
          ],
        ],
        keys: ' Enter: open   Ctrl-C: empty   Ctrl-L: draw anew',
      };
    case 'trying':
      return { title: 'The state is locked', lines: text('One moment...'), keys: ' ' };
    case 'ended':
      return { title: 'The state', lines: text('This server goes on.'), keys: ' ' };
    default:
      return page satisfies never;
  }
}

export function statePicture(state: StateDialogue, version: string): Line[] {
  const { title, lines, keys } = pageOf(state);
  const told = wrap(state.message, COLUMNS - 2).slice(0, 2);
  const rows = ROWS - 5;
  return [
    [{ text: pad(` TWINSTEP ${version}  ${title}`, COLUMNS), style: 'reverse' }],
    BLANK,
    ...Array.from({ length: rows }, (_, i) => lines[i] ?? BLANK),
    ...Array.from({ length: 2 }, (_, i): Line => (told[i] ? bold(` ${told[i]}`) : BLANK)),
    [{ text: pad(keys, COLUMNS - 1), style: 'reverse' }],
  ];
}
