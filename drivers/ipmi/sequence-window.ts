// Which sequence numbers of a session's packets are new (IPMI 2.0, 6.12, of RMCP+ sessions). Pure.
//
// Packets come authenticated, so any step forward is the BMC's own; what counts is that none is taken twice, and none that is so old that
// nobody knows any more. 0 belongs to packets outside of a session.

/** Late packets that are still taken: more than a BMC may have under way. */
const WINDOW = 32;

export class SequenceWindow {
  #highest = 0;
  /** Bit n: highest - n was seen. */
  #seen = 0;

  /** True once for each number. */
  accept(sequence: number): boolean {
    if (sequence <= 0) return false;
    const ahead = sequence - this.#highest;
    if (ahead > 0) {
      this.#seen = ahead >= WINDOW ? 1 : (this.#seen << ahead) | 1;
      this.#highest = sequence;
      return true;
    }
    if (-ahead >= WINDOW) return false;
    const bit = 1 << -ahead;
    if ((this.#seen & bit) !== 0) return false;
    this.#seen |= bit;
    return true;
  }
}
