// The carrier of the business NIC, for the core: what only bounces is not told, because moving the guest's network costs its clients
// more than a bounce does.

/** A cable that is plugged, or a switch port that negotiates, bounces for less. */
export const DOWN_AFTER_MS = 300;
/** A switch that has just started passes nothing yet, and may go down again. */
export const UP_AFTER_MS = 2_000;

export interface BusinessNicOptions {
  observed: (up: boolean) => void;
  /** Default: the process's. Answers how to cancel it. */
  after?: (ms: number, call: () => void) => () => void;
}

export class BusinessNic {
  readonly #options: Required<BusinessNicOptions>;
  /** What the core believes: a NIC is taken for alive until it is seen dead. */
  #told = true;
  #cancel: (() => void) | null = null;

  constructor(options: BusinessNicOptions) {
    this.#options = { after: timer, ...options };
  }

  /** The carrier as the gate sees it, at each change. */
  carrier(up: boolean): void {
    this.#cancel?.();
    this.#cancel = null;
    if (up === this.#told) return;
    this.#cancel = this.#options.after(up ? UP_AFTER_MS : DOWN_AFTER_MS, () => {
      this.#cancel = null;
      this.#told = up;
      this.#options.observed(up);
    });
  }
}

function timer(ms: number, call: () => void): () => void {
  const t = setTimeout(call, ms);
  return () => clearTimeout(t);
}
