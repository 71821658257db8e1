// When a checkpoint is asked for because output waits, and why: once, until the commit that it brings. Pure.
//
// Each connection's head says what it waits for (connection.ts); an acknowledgement may wait shorter than data, a difference not at all.
import { CHECKPOINT_CAUSES, type CheckpointCause, type HoldLimits } from './api.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { HeldFrames } from './held-frames.ts';

export class CheckpointWish {
  readonly #limits: HoldLimits;
  readonly #want: (cause: CheckpointCause) => void;
  readonly #causes: Record<CheckpointCause, number>;
  #asked = false;

  constructor(limits: HoldLimits, want: (cause: CheckpointCause) => void) {
    this.#limits = limits;
    this.#want = want;
    this.#causes = Object.fromEntries(CHECKPOINT_CAUSES.map((c) => [c, 0])) as Record<CheckpointCause, number>;
  }

  get isAsked(): boolean {
    return this.#asked;
  }

  /** How often each cause was the one. */
  get causes(): Record<CheckpointCause, number> {
    return { ...this.#causes };
  }

  ask(cause: CheckpointCause): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#causes[cause]++;
    this.#want(cause);
  }

  /** What it was asked for has left, or nothing is protected any more. */
  forget(): void {
    this.#asked = false;
  }

  /** What has waited too long; null: nothing has. */
  overdue(held: HeldFrames, connections: ConnectionTable, nowMs: number): CheckpointCause | null {
    for (const connection of connections.waiting) {
      const h = connection.held[0];
      if (h) {
        const cause = connection.refusal(h) ?? 'unknown';
        const limitMs = cause === 'ack' ? this.#limits.ackMs : cause === 'different' ? 0 : this.#limits.dataMs;
        if (nowMs - h.at >= limitMs) return cause;
      } else if (connection.clamped && nowMs - connection.clamped.at >= this.#limits.ackMs) return 'window';
    }
    if (held.others === 0) return null;
    for (const h of held.list) {
      if (h.released || 'segment' in h) continue;
      // In the order of the guest: the first is the oldest.
      if (nowMs - h.at < this.#limits.dataMs) return null;
      return h.content === null ? 'opaque' : 'datagram';
    }
    return null;
  }
}
