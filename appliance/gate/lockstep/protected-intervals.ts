// Which interval is compared, which are committed, and which of them a frame belongs to. Pure.
//
//   committed < current <= latest     a frame of a later interval than `current` waits for the commit in between
//   replied                           REPLY of `current` has passed: the replica that agreed is about to be replaced

/** The tag of frames that no checkpoint will cover: only a grant releases them. */
export const NEVER = Number.MAX_SAFE_INTEGER;

export class ProtectedIntervals {
  #session: number | null = null;
  /** 0: nothing is protected. */
  #current = 0;
  /** The highest counter seen. */
  #latest = 0;
  #committed = 0;
  /** The latest interval whose REPLY has passed; it may be ahead of the current one while nobody has decided. */
  #repliedInterval = 0;

  begin(session: number): void {
    this.#session = session;
    this.#current = 1;
    this.#latest = 0;
    this.#committed = 0;
    this.#repliedInterval = 0;
  }

  end(): void {
    this.#session = null;
    this.#current = 0;
  }

  get session(): number | null {
    return this.#session;
  }
  get isProtected(): boolean {
    return this.#session !== null;
  }
  get current(): number {
    return this.#current;
  }
  get committed(): number {
    return this.#committed;
  }
  get isReplied(): boolean {
    return this.#repliedInterval >= this.#current;
  }
  /** The current interval is committed: the next one may be compared. */
  get isDue(): boolean {
    return this.#committed >= this.#current;
  }

  /** The counter as it was read. */
  seen(interval: number): void {
    if (interval > this.#latest) this.#latest = interval;
  }

  /** Of a frame of the guest that was read under this counter. */
  tagOf(interval: number): number {
    return interval < this.#latest || (interval > 0 && interval < this.#current) ? NEVER : interval;
  }

  /** Nothing is protected, or frames of interval 0 before the first checkpoint. */
  isFree(interval: number): boolean {
    return this.#session === null || (interval === 0 && this.#latest === 0);
  }

  replied(interval: number): void {
    if (this.#session !== null && interval > this.#repliedInterval) this.#repliedInterval = interval;
  }

  /** The partner owns it. Throws RangeError for what is no interval. False: nothing is protected. */
  commit(interval: number): boolean {
    if (interval >= NEVER || !Number.isSafeInteger(interval)) throw new RangeError(`commit of interval ${interval}`);
    if (this.#session === null) return false;
    // The counter was raised before the commit. A frame that shows this interval again is another session's.
    if (interval > 0 && interval + 1 > this.#latest) this.#latest = interval + 1;
    if (interval > this.#committed) this.#committed = interval;
    return true;
  }

  /** What is committed was released: the interval behind it is compared. */
  advance(): void {
    this.#current = this.#committed + 1;
  }
}
