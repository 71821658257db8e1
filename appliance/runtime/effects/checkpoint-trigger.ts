// When the next checkpoint is asked for: soon after output begins to be held, never closer than the minimum to the last
// one. Without output the engine's own timer makes one (idleMs), which bounds what a takeover has to go back.
import type { CoServerConfig } from '../../config.ts';

export class CheckpointTrigger {
  readonly #config: CoServerConfig['checkpoint'];
  readonly #trigger: () => void;
  #timer: NodeJS.Timeout | null = null;
  #lastAt = 0;
  #wanted = false;
  #enabled = false;

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
  }

  /** The gate holds a frame of a new interval. */
  outputHeld(): void {
    this.#wanted = true;
    this.#arm();
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
      if (this.#enabled) this.#trigger();
    }, wait);
  }
}
