// What clients send while nobody answers: between the partner's death and the takeover. Pure.
//
// When the partner's cable dies its switch port loses the guest's MAC, and the switch floods what is for the guest: also to this
// side, which hears it before it may speak. Fed at the takeover it saves the clients' timers: most of all a SYN's, a whole second. What
// came before the partner's last inputs was fed by the partner; a frame fed twice is a frame that the network doubled.

/** A client that waited longer has sent it again, or given up. */
export const GAP_LIMIT_MS = 3000;

/** Its last inputs may come through the partner's channel somewhat later than what was flooded after them. */
const OVERLAP_MS = 20;

/** Far more than clients send without an answer; a flooding LAN must not take more memory than this. */
export const GAP_LIMIT_BYTES = 4 * 1024 * 1024;
/** Small ones: so many that each costs more to keep than to send again. */
export const GAP_LIMIT_BATCHES = 4096;

interface Kept {
  at: number;
  batch: Buffer;
}

export class GapInputs {
  #kept: Kept[] = [];
  #bytes = 0;

  /** @param batch Its own memory is not kept. */
  record(batch: Buffer, nowMs: number): void {
    // The oldest go first; a batch that alone is too large is not worth having.
    if (batch.length > GAP_LIMIT_BYTES) return;
    this.#kept.push({ at: nowMs, batch: Buffer.from(batch) });
    this.#bytes += batch.length;
    this.#forget(({ at }, n) => at < nowMs - GAP_LIMIT_MS || this.#bytes > GAP_LIMIT_BYTES || this.#kept.length - n > GAP_LIMIT_BATCHES);
  }

  /** The partner lives: it has fed the guest until now. */
  partnerFed(nowMs: number): void {
    if (this.#kept.length > 0) this.#forget(({ at }) => at < nowMs - OVERLAP_MS);
  }

  /** In order; nothing is kept afterwards. */
  takeAll(nowMs: number): Buffer[] {
    this.#forget(({ at }) => at < nowMs - GAP_LIMIT_MS);
    const all = this.#kept.map(({ batch }) => batch);
    this.clear();
    return all;
  }

  clear(): void {
    this.#kept = [];
    this.#bytes = 0;
  }

  #forget(isOver: (kept: Kept, before: number) => boolean): void {
    let n = 0;
    for (const kept of this.#kept) {
      if (!isOver(kept, n)) break;
      this.#bytes -= kept.batch.length;
      n++;
    }
    if (n > 0) this.#kept.splice(0, n);
  }
}
