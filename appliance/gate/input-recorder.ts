// Sends the guest's inputs to the partner, some frames per message. Only an accelerator: when the channel is slow or down
// they are skipped and counted, never queued.
import type { Channel } from '../../drivers/link/index.ts';
import { inputsHeader } from './partner-messages.ts';

/** Small frames arrive one per wake: one message for those of a millisecond costs far less than one each. */
const FLUSH_AFTER_MS = 1;
/** A bulk transfer fills a message before the timer does. */
const FLUSH_AT_BYTES = 64 * 1024;

export class InputRecorder {
  readonly #channel: Channel;
  readonly #flushAfterMs: number;
  #pending: Buffer[] = [];
  #bytes = 0;
  #frames = 0;
  #interval = 0;
  #timer: NodeJS.Timeout | null = null;
  #congested = false;
  skippedFrames = 0;

  /** @param flushAfterMs 0: at the end of this turn of the event loop, for a replica that waits for its inputs. */
  constructor(channel: Channel, flushAfterMs: number = FLUSH_AFTER_MS) {
    this.#channel = channel;
    this.#flushAfterMs = flushAfterMs;
    const free = () => {
      this.#congested = false;
    };
    channel.on('drain', free);
    channel.on('reset', free);
  }

  /** The ranges must not be changed afterwards. */
  record(runs: readonly Buffer[], frames: number, bytes: number, interval: number): void {
    if (this.#congested || !this.#channel.isUp) {
      this.skippedFrames += frames;
      return;
    }
    if (this.#bytes > 0 && interval !== this.#interval) this.flush();
    this.#interval = interval;
    this.#pending.push(...runs);
    this.#bytes += bytes;
    this.#frames += frames;
    if (this.#bytes >= FLUSH_AT_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), this.#flushAfterMs);
  }

  flush(): void {
    const parts = this.#pending;
    if (this.#take() === 0) return;
    if (!this.#channel.send(inputsHeader(this.#interval), ...parts)) this.#congested = true;
  }

  /** What was not sent yet is for nobody any more. */
  discard(): void {
    this.skippedFrames += this.#take();
  }

  #take(): number {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const frames = this.#frames;
    this.#pending = [];
    this.#bytes = 0;
    this.#frames = 0;
    return frames;
  }
}
