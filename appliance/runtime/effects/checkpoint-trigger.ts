// When the next checkpoint is asked for: soon after output begins to be held, never closer than the minimum to the last
// one. Without output the engine's own timer makes one (idleMs), which bounds what a takeover has to go back.
import type { CoServerConfig } from '../../config.ts';

/** A checkpoint begins 2-16 ms after it was asked for. */
const ASK_AGAIN_MS = 100;

export class CheckpointTrigger {
  readonly #config: CoServerConfig['checkpoint'];
  readonly #trigger: () => void;
  #timer: NodeJS.Timeout | null = null;
  #lastAt = 0;
  #wanted = false;
  #enabled = false;
  /** Asked for, and the engine has not begun one since: it forgets what it is asked during a checkpoint. */
  #asked: NodeJS.Timeout | null = null;

  constructor(config: CoServerConfig['checkpoint'], trigger: () => void) {
    this.#config = config;
    this.#trigger = trigger;
  }

  enable(): void {
    this.#enabled = true;
    if (this.#wanted) this.#arm();
  }

  disable(): void {
    this.#enabled = false;
    this.#wanted = false;
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
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#ask();
  }

  /** The engine began a checkpoint. */
  begun(): void {
    this.#answered();
  }

  /** A checkpoint has ended: what was held before it is on its way. */
  checkpointed(): void {
    this.#lastAt = performance.now();
  }

  #arm(): void {
    if (!this.#enabled || this.#timer) return;
    const wait = Math.max(this.#config.outputDelayMs, this.#lastAt + this.#config.minimumMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#wanted = false;
      this.#ask();
    }, wait);
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
