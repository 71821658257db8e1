// Lines of one kind that come by the hundred: the first is told at once, what follows soon is counted, and told together.
//
//  told --within the pause--> counted ... at its end: one line, and a pause twice as long --none came--> the next one is told at once
import { durationText } from '../console/format.ts';

/** After a line. Then twice as long each time, so that a disk that rots for days does not push everything else out of the timeline. */
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 3_600_000;

interface Series<L> {
  pauseMs: number;
  timer: NodeJS.Timeout;
  count: number;
  /** Stands for all that were counted. */
  latest: L | undefined;
}

export class CountedNews<L extends { text: string }> {
  readonly #tell: (line: L) => void;
  readonly #firstPauseMs: number;
  readonly #series = new Map<string, Series<L>>();

  constructor(tell: (line: L) => void, firstPauseMs = FIRST_PAUSE_MS) {
    this.#tell = tell;
    this.#firstPauseMs = firstPauseMs;
  }

  add(name: string, line: L): void {
    const known = this.#series.get(name);
    if (known) {
      known.count++;
      known.latest = line;
      return;
    }
    this.#tell(line);
    this.#pause(name, this.#firstPauseMs);
  }

  /** What was counted is told now: something that sums it up comes next. */
  flush(): void {
    for (const [name, series] of this.#series) {
      clearTimeout(series.timer);
      this.#series.delete(name);
      this.#tellCounted(series);
    }
  }

  #pause(name: string, pauseMs: number): void {
    const timer = setTimeout(() => {
      const series = this.#series.get(name);
      this.#series.delete(name);
      if (!series?.latest) return;
      this.#tellCounted(series);
      this.#pause(name, Math.min(2 * pauseMs, LONGEST_PAUSE_MS));
    }, pauseMs);
    timer.unref();
    this.#series.set(name, { pauseMs, timer, count: 0, latest: undefined });
  }

  #tellCounted({ latest, count, pauseMs }: Series<L>): void {
    if (!latest) return;
    const times = count === 1 ? 'Once more' : `${count} times more`;
    this.#tell({ ...latest, text: `${times} within ${durationText(pauseMs)}, at last: ${latest.text}` });
  }
}
