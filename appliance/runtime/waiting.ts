// `twinstep wait`: what an appliance shows whose CoServer cannot run yet, or no longer: why, on every console, and what ends that. It ends
// when the configuration is there or has changed; whoever started it then starts the CoServer.
import { type Stats, statSync, unwatchFile, watchFile } from 'node:fs';
import { openSerialPort, type SerialLine } from '../../drivers/serial/index.ts';

/** A person drops a file and looks at the screen. */
const LOOK_EVERY_MS = 1_000;
const WIDTH = 76;
const CLEAR = '\x1b[0m\x1b[2J\x1b[H';

export interface WaitOptions {
  /** Path of the configuration; need not exist. */
  config: string;
  /** Devices: serial lines, screens. */
  consoles: readonly string[];
  /** Sentences; may be a line of the log. */
  reason: string;
  version: string;
  log: (line: string) => void;
  /** Default: the real device. */
  open?: (path: string) => SerialLine;
}

/** Answers when the configuration is another one than at the start. A console that is not there is tried again until then. */
export async function waitForConfiguration(options: WaitOptions): Promise<void> {
  const { config, consoles, log, open = (path) => openSerialPort({ path, log }) } = options;
  const before = mark(statSync(config, { throwIfNoEntry: false }));
  const screen = waitingScreen(options);
  const lines = consoles.map((path) => {
    const line = open(path);
    const draw = () => line.write(screen);
    // Whoever has just attached a terminal presses a key.
    for (const event of ['opened', 'reopened', 'data']) line.on(event, draw);
    return line;
  });
  log(options.reason);
  await new Promise<void>((resolve) => {
    const look = (now: Stats | undefined) => {
      // An empty one is being written, also in place of one that was wrong.
      if (mark(now) === before || mark(now) === '') return;
      unwatchFile(config, look);
      resolve();
    };
    watchFile(config, { interval: LOOK_EVERY_MS }, look);
    // It may have come while the consoles were opened.
    look(statSync(config, { throwIfNoEntry: false }));
  });
  for (const line of lines) line.destroy();
}

function mark(stats: Stats | undefined): string {
  return stats === undefined || stats.size === 0 ? '' : `${stats.ino} ${stats.mtimeMs} ${stats.size}`;
}

/** The whole screen: 80 columns, 24 rows at most, lines end in CR LF. */
export function waitingScreen({ version, reason, config }: Pick<WaitOptions, 'version' | 'reason' | 'config'>): string {
  // A line of the log may hold anything, also what a terminal takes as a command.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: see above
  const plain = reason.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ').trim();
  const told = wrap(plain).slice(0, 12);
  const remedy = wrap(`It goes on by itself as soon as there is a new configuration in ${config}.`);
  const rows = [`Twinstep ${version}`, '', ...told, '', ...remedy, ''];
  return CLEAR + rows.map((row) => ` ${row}`.trimEnd()).join('\r\n');
}

function wrap(text: string): string[] {
  const rows: string[] = [];
  let row = '';
  for (const word of text.split(/\s+/).flatMap((w) => w.match(new RegExp(`.{1,${WIDTH}}`, 'gu')) ?? [])) {
    if (row !== '' && row.length + 1 + word.length > WIDTH) {
      rows.push(row);
      row = word;
    } else row = row === '' ? word : `${row} ${word}`;
  }
  return row === '' ? rows : [...rows, row];
}
