// How far the primary's engine is read ahead of the partner, and how fast its synchronisation goes.
//
// QEMU estimates by the rate at which it is read how long the stopped rest would take, so it must feel the partner's pace: it is read only
// while the channel takes more and less than SYNCHRONISATION_WINDOW_BYTES are under way.
import type { Socket } from 'node:net';
import { SYNCHRONISATION_WINDOW_BYTES } from './session.ts';

const PROGRESS_EVERY_MS = 250;

export interface SynchronisationProgress {
  transferredBytes: number;
  rateBytesPerS: number;
}

export class EngineWindow {
  readonly #nowMs: () => number;
  #engine: Socket | undefined;
  #sentBytes = 0;
  #consumedBytes = 0;
  #channelFull = false;
  #progressMs = 0;
  #progressBytes = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Of the engine's own bytes: before any packing. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Read from now on. */
  begin(engine: Socket): void {
    this.#engine = engine;
    this.#progressMs = this.#nowMs();
  }

  sending(bytes: number): void {
    this.#sentBytes += bytes;
  }

  /** The partner consumed so many in all: at most what was sent. */
  consumed(bytes: number): void {
    this.#consumedBytes = bytes;
    this.throttle();
  }

  /** Noted at once, acted on with the next `throttle`. */
  channelIsFull(): void {
    this.#channelFull = true;
  }

  channelDrained(): void {
    this.#channelFull = false;
    this.throttle();
  }

  throttle(): void {
    const engine = this.#engine;
    if (!engine) return;
    const full = this.#channelFull || this.#sentBytes - this.#consumedBytes > SYNCHRONISATION_WINDOW_BYTES;
    if (full && !engine.isPaused()) engine.pause();
    else if (!full && engine.isPaused()) engine.resume();
  }

  /** Undefined: too soon after the last one. */
  progress(): SynchronisationProgress | undefined {
    const now = this.#nowMs();
    const elapsedMs = now - this.#progressMs;
    if (elapsedMs < PROGRESS_EVERY_MS) return undefined;
    const rateBytesPerS = ((this.#sentBytes - this.#progressBytes) * 1000) / elapsedMs;
    this.#progressMs = now;
    this.#progressBytes = this.#sentBytes;
    return { transferredBytes: this.#sentBytes, rateBytesPerS };
  }
}
