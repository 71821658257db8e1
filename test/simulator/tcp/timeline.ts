// Virtual time: what happens next, in order. Equal times happen in the order in which they were asked for.

interface Entry {
  at: number;
  order: number;
  run: () => void;
}

export class Timeline {
  now = 0;
  #heap: Entry[] = [];
  #order = 0;

  at(time: number, run: () => void): void {
    const e: Entry = { at: Math.max(time, this.now), order: this.#order++, run };
    const h = this.#heap;
    let i = h.push(e) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = h[up] as Entry;
      if (!earlier(e, parent)) break;
      h[i] = parent;
      i = up;
    }
    h[i] = e;
  }

  in(delay: number, run: () => void): void {
    this.at(this.now + delay, run);
  }

  /** Runs until `end` or until `stop` says so. */
  run(end: number, stop: () => boolean): void {
    while (!stop()) {
      const next = this.#heap[0];
      if (!next || next.at > end) {
        this.now = end;
        return;
      }
      this.#pop();
      this.now = next.at;
      next.run();
    }
  }

  #pop(): void {
    const h = this.#heap;
    const last = h.pop();
    if (last === undefined || h.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= h.length) break;
      if (child + 1 < h.length && earlier(h[child + 1] as Entry, h[child] as Entry)) child++;
      if (!earlier(h[child] as Entry, last)) break;
      h[i] = h[child] as Entry;
      i = child;
    }
    h[i] = last;
  }
}

function earlier(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Messages arrive in the order in which they were sent, each after its own delay. Cut: what is still on the way is lost. */
export class Pipe<T> {
  readonly #time: Timeline;
  readonly #delay: () => number;
  #lastAt = 0;
  #cut = false;
  #receive: (message: T) => void;

  constructor(time: Timeline, delay: () => number, receive: (message: T) => void) {
    this.#time = time;
    this.#delay = delay;
    this.#receive = receive;
  }

  send(message: T): void {
    if (this.#cut) return;
    this.#lastAt = Math.max(this.#lastAt, this.#time.now + this.#delay());
    this.#time.at(this.#lastAt, () => {
      if (!this.#cut) this.#receive(message);
    });
  }

  cut(): void {
    this.#cut = true;
  }
}
