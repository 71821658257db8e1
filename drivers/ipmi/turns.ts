// One question to a BMC at a time, in the order in which they were asked: many lose answers when they are asked two things at once.
import { IpmiError } from './types.ts';

/** Questions that wait for their turn: more is a caller that does not listen to the answers. */
const MAX_WAITING = 64;

export class Turns {
  readonly #name: string;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Rejects with an IpmiError (`busy`) when too many wait. */
  take<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MAX_WAITING) return Promise.reject(new IpmiError('busy', `${this.#name}: ${MAX_WAITING} questions wait already`));
    this.#waiting++;
    const answer = this.#last.then(ask);
    this.#last = answer
      .catch(() => undefined)
      .finally(() => {
        this.#waiting--;
      });
    return answer;
  }
}
