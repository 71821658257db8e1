// The replica's datagrams that the primary has not sent yet, as a bounded bag: each lets one equal datagram of the primary leave. Pure.

/** UDP and ICMP between two replicas milliseconds apart; beyond it they are forgotten, and a checkpoint follows. */
export const DATAGRAM_LIMIT_BYTES = 4 * 1024 * 1024;
const ENTRY_OVERHEAD_BYTES = 64;

export class ReplicaDatagrams {
  readonly #counts = new Map<string, number>();
  #bytes = 0;

  /** False: no room. */
  keep(content: string): boolean {
    const cost = content.length + ENTRY_OVERHEAD_BYTES;
    if (this.#bytes + cost > DATAGRAM_LIMIT_BYTES) return false;
    this.#bytes += cost;
    this.#counts.set(content, (this.#counts.get(content) ?? 0) + 1);
    return true;
  }

  /** True: the replica had sent an equal one; it is used up. */
  take(content: string): boolean {
    const count = this.#counts.get(content);
    if (count === undefined) return false;
    this.#bytes -= content.length + ENTRY_OVERHEAD_BYTES;
    if (count === 1) this.#counts.delete(content);
    else this.#counts.set(content, count - 1);
    return true;
  }

  clear(): void {
    this.#counts.clear();
    this.#bytes = 0;
  }
}
