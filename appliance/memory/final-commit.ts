// The primary's wait for the interval in which its guest has shut down: no checkpoint follows, the partner commits it by a word.
import type { MemoryMessage } from './messages.ts';

/** The partner may have to flush and apply the interval before, then this one. */
const FINAL_TIMEOUT_MS = 60_000;

export class FinalCommit {
  readonly interval: number;
  readonly #done = Promise.withResolvers<void>();
  readonly #timer: NodeJS.Timeout;

  constructor(interval: number) {
    this.interval = interval;
    this.#timer = setTimeout(
      () => this.fail(`the partner did not commit the final interval ${interval} within ${FINAL_TIMEOUT_MS} ms`),
      FINAL_TIMEOUT_MS,
    );
  }

  /** What the partner says meanwhile: only its answer counts. */
  onMessage(message: MemoryMessage): void {
    if (message.kind === 'committed' && message.interval === this.interval) this.#done.resolve();
    else if (message.kind === 'end') this.fail(`the partner refused the final interval: ${message.reason}`);
  }

  fail(reason: string): void {
    this.#done.reject(new Error(`memory stream: ${reason}`));
  }

  /** Throws when the partner refuses, is lost, or does not answer. */
  async committed(): Promise<void> {
    try {
      await this.#done.promise;
    } finally {
      clearTimeout(this.#timer);
    }
  }
}
