// The journal: every event that changed anything, and what the core ordered. `npm run replay` runs it through the core again
// (replay/). Times are the monotonic ones of this process; nothing in it is secret.
//
// A tick that changed nothing but the time is left out. That is sound, because a step takes its time from its event and never
// reads the time of the state before it: the next event finds all that it would have found.
import type { Command, Event, State, StateOptions } from '../core/machine.ts';
import type { LineFile } from './line-file.ts';
import { commandDigests, eventLine, headLine, stateDigest, wholeLine } from './replay/journal-codec.ts';

/** A whole state so often: where the replay finds its way again after a damaged line. */
const LINES_PER_STATE = 100;

export interface Logged {
  event: Event;
  before: State;
  after: State;
  commands: readonly Command[];
}

export class Journal {
  readonly #file: LineFile;
  readonly #life: { version: string; options: StateOptions };
  #number = 0;

  constructor(file: LineFile, version: string, options: StateOptions) {
    this.#file = file;
    this.#life = { version, options };
    file.append(headLine(version, options));
  }

  log({ event, before, after, commands }: Logged): void {
    if (event.kind === 'tick' && commands.length === 0 && !changed(before, after)) return;
    const number = ++this.#number;
    const { version, options } = this.#life;
    const whole = () => wholeLine(version, options, number - 1, before);
    if (number % LINES_PER_STATE === 0) this.#file.append(whole());
    const moved = before.phase.kind !== after.phase.kind;
    this.#file.append(eventLine(number, event, commandDigests(commands), moved ? stateDigest(after) : null), whole);
  }

  /** The core threw at this event: what led to it is on disk before the process ends. */
  threw(event: Event, error: Error): void {
    this.#file.append({ n: ++this.#number, event, threw: error.message });
    this.#file.flushNow();
  }
}

/** Anything but the time. Handlers replace what they change, so that identity is enough. */
function changed(before: State, after: State): boolean {
  return (Object.keys(after) as (keyof State)[]).some((key) => key !== 'now' && before[key] !== after[key]);
}
