// The queue in front of the business NIC: what the NIC does not take at once waits here, in order, within a limit.
import { countFrames } from './frames.ts';
import type { LanPort } from './lan-port.ts';

/** Frames that pass at once: 32 ms of a full 1 Gbit NIC. More would only be delay; the guest's TCP slows down at a loss. */
export const PASS_LIMIT_BYTES = 4 * 1024 * 1024;

/** Frames that a commit releases: what was allowed to be held must be allowed to wait for the NIC. */
export const RELEASE_LIMIT_BYTES = 64 * 1024 * 1024;

export class LanOutput {
  readonly #port: LanPort;
  #queue: Buffer[] = [];
  #bytes = 0;
  /** Why the NIC refuses frames; empty: it does not. */
  lastError = '';

  constructor(port: LanPort) {
    this.#port = port;
    port.onWritable(() => this.#flush());
  }

  get queuedBytes(): number {
    return this.#bytes;
  }

  /** False: dropped, because the queue would grow over the limit or the NIC refuses frames. */
  send(batch: Buffer, limitBytes: number): boolean {
    if (this.#queue.length > 0) {
      if (this.#bytes + batch.length > limitBytes) return false;
      this.#enqueue(batch);
      return true;
    }
    const taken = this.#offer(batch);
    if (taken < 0) return false;
    if (taken < batch.length) this.#enqueue(batch.subarray(taken));
    return true;
  }

  /** Drops what waits. Answers how many frames. */
  clear(): number {
    const frames = this.#queue.reduce((n, batch) => n + countFrames(batch), 0);
    this.#queue = [];
    this.#bytes = 0;
    return frames;
  }

  #enqueue(batch: Buffer): void {
    this.#queue.push(batch);
    this.#bytes += batch.length;
  }

  /** -1: the NIC refuses frames (it is down, or gone). */
  #offer(batch: Buffer): number {
    try {
      const taken = this.#port.send(batch);
      this.lastError = '';
      return taken;
    } catch (e) {
      this.lastError = (e as Error).message;
      return -1;
    }
  }

  #flush(): void {
    let n = 0;
    for (const batch of this.#queue) {
      const taken = this.#offer(batch);
      if (taken >= 0 && taken < batch.length) {
        if (taken > 0) {
          this.#queue[n] = batch.subarray(taken);
          this.#bytes -= taken;
        }
        break;
      }
      this.#bytes -= batch.length;
      n++;
    }
    this.#queue.splice(0, n);
  }
}
