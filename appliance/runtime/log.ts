// One line an event on standard output, with the severity and the monotonic and wall clock times. No secrets pass here.

export type LogLevel = 'info' | 'warning' | 'fatal';

export function log(level: LogLevel, text: string): void {
  process.stdout.write(`${new Date().toISOString()} ${performance.now().toFixed(1).padStart(10)} ${level}: ${text}\n`);
}
