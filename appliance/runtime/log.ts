// One line an event on standard output, with the severity and the monotonic and wall clock times. No secrets pass here.
//
// The appliance's log lies on the state partition. When that is full a line is lost, and nothing else: Node's own stream would end the process,
// and with it the CoServer, on both servers at much the same time.
import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

export type LogLevel = 'info' | 'warning' | 'fatal';

const STDOUT = 1;
/** Terminals, pipes and sockets go through Node's stream, which waits for a slow reader. */
const isKept = (() => {
  const there = fstatSync(STDOUT);
  return there.isFile() || (there.isCharacterDevice() && !isatty(STDOUT));
})();
const keep = keeper((line) => writeSync(STDOUT, line));

export function log(level: LogLevel, text: string): void {
  const line = lineOf(level, text);
  if (isKept) keep(line);
  else process.stdout.write(line);
}

const lineOf = (level: LogLevel, text: string): string =>
  `${new Date().toISOString()} ${performance.now().toFixed(1).padStart(10)} ${level}: ${text}\n`;

/** Writes lines to a file; how many were lost is said as soon as there is room again. @param write Throws when there is none. */
export function keeper(write: (line: string) => void): (line: string) => void {
  let lost = 0;
  let why = '';
  return (line) => {
    try {
      if (lost > 0) write(lineOf('warning', `${lost} lines of this log are lost: ${why}`));
      lost = 0;
      write(line);
    } catch (error) {
      lost += 1;
      why = (error as Error).message;
    }
  };
}
