// What arrives for the secondary's engine, in order: to the engine at once, or kept.
//
//   bytes --> collected   from VMSTATE_SEND on: a checkpoint reaches the engine whole or not at all
//         --> behind      while a whole checkpoint is being committed, and before the engine's connection stands
//         --> engine
//
// Counts what has left for the engine or is part of the collection: the partner's window. What waits behind is less than that window.
import type { Socket } from 'node:net';
import { CONSUMED_STEP_BYTES, checkpointLimitBytes } from './session.ts';

export class Incoming {
  readonly #consumed: (bytes: number) => void;
  #engine: Socket | undefined;
  #holding = true;
  #collected: Buffer[] | undefined;
  #collectedBytes = 0;
  #behind: Buffer[] = [];
  #consumedBytes = 0;
  #reportedBytes = 0;
  /** Of the guest: what a checkpoint may have follows from it. */
  memoryBytes = 0;

  /** @param consumed So many bytes in all need no room here any more: told in steps of CONSUMED_STEP_BYTES, and by `report`. */
  constructor(consumed: (bytes: number) => void) {
    this.#consumed = consumed;
  }

  get isCollecting(): boolean {
    return this.#collected !== undefined;
  }

  /** Until `release`, what comes waits. */
  hold(): void {
    this.#holding = true;
  }

  /** The engine's connection stands, and nothing is being committed. */
  release(engine: Socket | undefined): void {
    this.#engine = engine;
    this.#holding = false;
    const behind = this.#behind;
    this.#behind = [];
    for (const bytes of behind) this.take(bytes);
  }

  /** The checkpoint's bytes follow. */
  collect(): void {
    this.#collected = [];
    this.#collectedBytes = 0;
  }

  /** The whole checkpoint; it is no longer kept here. */
  takeCollected(): Buffer[] {
    const collected = this.#collected ?? [];
    this.dropCollected();
    return collected;
  }

  /** It will not be completed. */
  dropCollected(): void {
    this.#collected = undefined;
  }

  /** Throws when a checkpoint is larger than one can be. */
  take(bytes: Buffer): void {
    if (this.#collected) {
      this.#collectedBytes += bytes.length;
      const limit = checkpointLimitBytes(this.memoryBytes);
      if (this.#collectedBytes > limit) throw new Error(`a checkpoint of more than ${limit} bytes`);
      this.#collected.push(bytes);
      this.#count(bytes.length);
    } else if (this.#holding) {
      this.#behind.push(bytes);
    } else {
      this.#engine?.write(bytes, () => this.#count(bytes.length));
    }
  }

  /** Says how much was consumed, if that was not said yet. */
  report(): void {
    if (this.#reportedBytes === this.#consumedBytes) return;
    this.#reportedBytes = this.#consumedBytes;
    this.#consumed(this.#consumedBytes);
  }

  #count(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes - this.#reportedBytes >= CONSUMED_STEP_BYTES) this.report();
  }
}
