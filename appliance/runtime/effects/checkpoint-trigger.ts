// When the next checkpoint is asked for: soon after output begins to be held, never closer than the minimum to the last
// one. Without output the engine's own timer makes one (idleMs), which bounds what a takeover has to go back.
import type { CoServerConfig } from '../../config.ts';

/**
 * Between the end of a checkpoint and the next one that the comparison asks for, whatever is configured: frames from the LAN can make
 * the replicas differ as often as they like, and a guest that only makes checkpoints serves nobody. At most 50 per second.
 */
export const COMPARISON_MINIMUM_MS = 20;

/** A checkpoint begins 2-16 ms after it was asked for. */
const ASK_AGAIN_MS = 100;

export class CheckpointTrigger {
  readonly #config: CoServerConfig['checkpoint'];
  readonly #trigger: () => void;
  readonly #nowMs: () => number;
  #timer: NodeJS.Timeout | null = null;
  #lastAt = Number.NEGATIVE_INFINITY;
  #wanted = false;
  /** The comparison wants one; it does not ask again before the next commit. */
  #differs = false;
  #enabled = false;
  /** Of the comparison's: not asked again so soon either, when the engine has not begun it yet. */
  #lastDueAt = Number.NEGATIVE_INFINITY;
  /** The engine makes one: it would forget another. */
  #busy = false;
  /** Asked for, and the engine has not begun one since: it forgets what it is asked during a checkpoint. */
  #asked: NodeJS.Timeout | null = null;

  constructor(config: CoServerConfig['checkpoint'], trigger: () => void, nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#config = config;
    this.#trigger = trigger;
  }

  enable(): void {
    this.#enabled = true;
    if (this.#differs) this.now();
    else if (this.#wanted) this.#arm();
  }

  disable(): void {
    this.#enabled = false;
    this.#wanted = false;
    this.#differs = false;
    this.#busy = false;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#answered();
  }

  /** The gate holds a frame of a new interval. */
  outputHeld(): void {
    this.#wanted = true;
    this.#arm();
  }

  /** Lockstep: the replicas differ, or one waits too long for the other. */
  now(): void {
    this.#differs = true;
    if (!this.#enabled || this.#busy) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const last = Math.max(this.#lastAt, this.#lastDueAt);
    const wait = last + Math.max(this.#config.minimumMs, COMPARISON_MINIMUM_MS) - this.#nowMs();
    if (wait > 0) this.#timer = setTimeout(() => this.#due(), wait);
    else this.#due();
  }

  /** The engine began a checkpoint. */
  begun(): void {
    this.#busy = true;
    this.#answered();
  }

  /** A checkpoint has ended: what was held before it is on its way. */
  checkpointed(): void {
    this.#lastAt = this.#nowMs();
    this.#busy = false;
    if (this.#differs) this.now();
  }

  #arm(): void {
    if (!this.#enabled || this.#timer) return;
    const wait = Math.max(this.#config.outputDelayMs, this.#lastAt + this.#config.minimumMs - this.#nowMs());
    this.#timer = setTimeout(() => this.#due(), wait);
  }

  #due(): void {
    this.#timer = null;
    this.#wanted = false;
    this.#differs = false;
    this.#lastDueAt = this.#nowMs();
    this.#ask();
  }

  #ask(): void {
    this.#answered();
    if (!this.#enabled) return;
    this.#trigger();
    this.#asked = setTimeout(() => this.#ask(), ASK_AGAIN_MS);
  }

  #answered(): void {
    if (this.#asked) clearTimeout(this.#asked);
    this.#asked = null;
  }
}
