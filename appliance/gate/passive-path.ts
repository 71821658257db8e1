// The gate's data path without comparison: the guest's output is held to the commit of its interval, its inputs are recorded at the
// partner as an accelerator. Only wiring; what may leave is decided in held-output.ts.
import type { Channel } from '../../drivers/link/index.ts';
import type { GateEvents } from './api.ts';
import { countFrames, LENGTH_BYTES } from './frames.ts';
import { type HeldBatch, HeldOutput } from './held-output.ts';
import { InputRecorder } from './input-recorder.ts';
import type { FilteredBatch } from './lan-filter.ts';
import { PASS_LIMIT_BYTES, RELEASE_LIMIT_BYTES } from './lan-output.ts';
import type { GateRules } from './rules.ts';

export interface PassivePathParts {
  channel: Channel;
  interval: { readonly current: number };
  nowMs(): number;
  toLan(batch: Buffer, frames: number, limitBytes: number): void;
  /** False: the engine did not take it. */
  toEngine(batch: Buffer): boolean;
  emit<K extends keyof GateEvents & string>(name: K, data: GateEvents[K]): void;
}

export class PassivePath {
  readonly #parts: PassivePathParts;
  readonly #recorder: InputRecorder;
  readonly held = new HeldOutput();
  /** Frames for which there was no room. */
  heldFull = 0;

  constructor(parts: PassivePathParts) {
    this.#parts = parts;
    this.#recorder = new InputRecorder(parts.channel);
  }

  get unrecordedFrames(): number {
    return this.#recorder.skippedFrames;
  }

  /** Answers how many of the frames were dropped because they are of a guest that does not own the LAN. */
  fromGuest(batch: Buffer, frames: number, output: GateRules['output']): number {
    switch (output) {
      case 'drop':
        return frames;
      case 'pass':
        this.#parts.toLan(batch, frames, PASS_LIMIT_BYTES);
        return 0;
      case 'hold':
      case 'freeze':
        this.#hold(batch, frames, output === 'freeze');
        return 0;
      default:
        return output satisfies never;
    }
  }

  #hold(batch: Buffer, frames: number, frozen: boolean): void {
    const interval = this.#parts.interval.current;
    const verdict = this.held.offer(batch, frames, interval, frozen, this.#parts.nowMs());
    if (verdict.kind === 'pass') this.#parts.toLan(batch, frames, PASS_LIMIT_BYTES);
    else if (verdict.kind === 'dropped') this.heldFull += frames;
    else if (verdict.first) this.#parts.emit('outputHeld', { interval });
  }

  /** @param interval Reads the counter, after the engine was fed; null: not recorded at the partner. Answers what the engine took, and what it did not. */
  fromLan(wanted: FilteredBatch, interval: (() => number) | null): { taken: number; takenBytes: number; lost: number } {
    let lost = 0;
    let lostBytes = 0;
    for (const run of wanted.runs) {
      if (this.#parts.toEngine(run)) continue;
      lost += countFrames(run);
      lostBytes += run.length;
    }
    if (interval !== null) this.#recorder.record(wanted.runs, wanted.frames, wanted.bytes, interval());
    const taken = wanted.frames - lost;
    return { taken, takenBytes: wanted.bytes - lostBytes - taken * LENGTH_BYTES, lost };
  }

  /** What was not sent to the partner yet is for nobody any more. */
  discardInputs(): void {
    this.#recorder.discard();
  }

  commit(interval: number, frozen: boolean): void {
    this.#release(this.held.commit(interval, frozen));
  }

  thaw(): void {
    this.#release(this.held.thaw());
  }

  /** Answers the number of frames. */
  releaseAll(): number {
    return this.#release(this.held.takeAll());
  }

  dropAll(): number {
    return this.held.takeAll().reduce((n, held) => n + held.frames, 0);
  }

  #release(list: readonly HeldBatch[]): number {
    let frames = 0;
    for (const held of list) {
      this.#parts.toLan(held.batch, held.frames, RELEASE_LIMIT_BYTES);
      frames += held.frames;
    }
    return frames;
  }
}
