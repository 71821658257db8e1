// The progress of a burn-in: on a terminal one line per test, written over; elsewhere plain lines, now and then.
import type { BurnInProgress } from './burn-in.ts';

const PLAIN_EVERY_S = 10;
const TITLE_WIDTH = 14;
const STATES: Record<BurnInProgress['tests'][number]['state'], string> = { running: '...', pass: 'ok', fail: 'FAIL', notTested: '-' };
const STATE_WIDTH = 5;
const NARROW_COLUMNS = 80;

export interface ScreenOutput {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export class BurnInScreen {
  readonly #output: ScreenOutput;
  #lines = 0;
  #saidS = Number.NEGATIVE_INFINITY;
  readonly #ended = new Set<string>();

  constructor(output: ScreenOutput) {
    this.#output = output;
  }

  show(progress: BurnInProgress): void {
    if (this.#output.isTTY) this.#draw(progress);
    else this.#say(progress);
  }

  #draw(progress: BurnInProgress): void {
    const columns = this.#output.columns ?? NARROW_COLUMNS;
    const lines = [headline(progress), ...progress.tests.map(testLine)];
    // A longer line would wrap, and the next picture begin too low.
    const picture = lines.map((line) => `\x1b[2K${line.slice(0, columns - 1)}\n`).join('');
    this.#output.write(`${this.#lines > 0 ? `\x1b[${this.#lines}A` : ''}${picture}`);
    this.#lines = lines.length;
  }

  #say(progress: BurnInProgress): void {
    for (const test of progress.tests) {
      if (test.state === 'running' || this.#ended.has(test.id)) continue;
      this.#ended.add(test.id);
      this.#output.write(`${testLine(test)}\n`);
    }
    if (progress.elapsedS - this.#saidS < PLAIN_EVERY_S) return;
    this.#saidS = progress.elapsedS;
    const running = progress.tests.filter((t) => t.state === 'running' && t.text !== '').map((t) => `${t.title}: ${t.text}`);
    this.#output.write(`${[headline(progress), ...running].join(' | ')}\n`);
  }
}

function headline({ percent, etaS, elapsedS }: BurnInProgress): string {
  return `burn-in ${percent} %, ${etaS > 0 ? `${clock(etaS)} to go` : `${clock(elapsedS)}, ending`}`;
}

function testLine({ title, state, text }: BurnInProgress['tests'][number]): string {
  return `${title.padEnd(TITLE_WIDTH)} ${STATES[state].padEnd(STATE_WIDTH)} ${text}`;
}

function clock(seconds: number): string {
  const whole = Math.ceil(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
