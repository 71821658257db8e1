// A secondary whose engine lives and does nothing (its virtual CPU stands still, its host thrashes) never ends a checkpoint, and the primary's
// guest, or its output, would wait for ever: nothing in the protocol between the engines notices. So each answer has its time, counted
// anew with every sign of progress.

/** An engine stops, and loads a checkpoint, within some ms; emulated on a busy machine it took up to 1 s. */
export const ENGINE_WITHIN_MS = 4_000;
/** Until the disk has made the interval durable: one that hesitates for seconds is slow, its CoServer is not broken. */
export const DURABLE_WITHIN_MS = 15_000;

export class AnswerDeadline {
  readonly #fire: (reason: string) => void;
  #withinMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #what = '';

  constructor(fire: (reason: string) => void) {
    this.#fire = fire;
  }

  /** From now on the secondary has to answer. @param what "stop for the checkpoint of interval 7" */
  expect(what: string, withinMs: number): void {
    this.#what = what;
    this.#withinMs = withinMs;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#fire(`the secondary did not ${this.#what} within ${this.#withinMs} ms`);
    }, this.#withinMs);
    this.#timer.unref();
  }

  /** A sign of life: what is expected has its full time again. */
  progress(): void {
    if (this.#timer) this.expect(this.#what, this.#withinMs);
  }

  met(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
