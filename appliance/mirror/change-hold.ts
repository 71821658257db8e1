// The guest's changes under way, and those that wait: so that a restore point finds none under way.

export interface Hold {
  /** Ends when the first change waits. */
  readonly wanted: Promise<void>;
  /** When that was, monotonic ms; 0: none does. */
  readonly since: number;
  release(): void;
}

export class ChangeHold {
  #hold: { after: number; until: Promise<void>; want(): void } | undefined;
  #changing = 0;
  readonly #idle: (() => void)[] = [];

  /** Runs `change`, received in `interval`, when nothing holds it. */
  async run(interval: number, change: () => Promise<void>): Promise<void> {
    for (let wait = this.enter(interval); wait; wait = this.enter(interval)) await wait;
    try {
      await change();
    } finally {
      this.leave();
    }
  }

  /** Undefined: the change is under way, until `leave`. Else it asks again when the promise has ended. */
  enter(interval: number): Promise<void> | undefined {
    if (this.#hold && interval > this.#hold.after) {
      this.#hold.want();
      return this.#hold.until;
    }
    this.#changing++;
    return undefined;
  }

  leave(): void {
    this.#changing--;
    if (this.#changing === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Changes of intervals later than `after` wait until `release`; -1: all that are not under way. One at a time, and a short one. */
  holdAfter(after: number): Hold {
    const until = Promise.withResolvers<void>();
    const wanted = Promise.withResolvers<void>();
    const held = { wanted: wanted.promise, since: 0, release: () => {} };
    const hold = {
      after,
      until: until.promise,
      want: () => {
        held.since ||= performance.now();
        wanted.resolve();
      },
    };
    held.release = () => {
      if (this.#hold === hold) this.#hold = undefined;
      until.resolve();
    };
    this.#hold = hold;
    return held;
  }

  /** Ends when no change is under way; those that are held are not. */
  idle(): Promise<void> {
    if (this.#changing === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}
