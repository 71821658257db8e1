// Puts single frames together again: frames that lie behind each other in the same memory, each behind its length, become one range
// of it. So a batch that passes whole stays one batch, and nothing is copied.
import { LENGTH_BYTES, toBatch } from './frames.ts';

export class FrameCollector {
  readonly #put: (batch: Buffer, frames: number) => void;
  #memory: ArrayBufferLike | null = null;
  #from = 0;
  #to = 0;
  #frames = 0;

  constructor(put: (batch: Buffer, frames: number) => void) {
    this.#put = put;
  }

  /** A frame of a batch; or one with a memory of its own, at offset 0. */
  add(frame: Buffer): void {
    const { buffer, byteOffset, length } = frame;
    if (this.#frames > 0 && (buffer !== this.#memory || byteOffset - LENGTH_BYTES !== this.#to)) this.flush();
    if (byteOffset < LENGTH_BYTES) {
      this.#put(toBatch([frame]), 1);
      return;
    }
    if (this.#frames === 0) {
      this.#memory = buffer;
      this.#from = byteOffset - LENGTH_BYTES;
    }
    this.#to = byteOffset + length;
    this.#frames++;
  }

  flush(): void {
    if (this.#frames === 0 || this.#memory === null) return;
    const batch = Buffer.from(this.#memory as ArrayBuffer, this.#from, this.#to - this.#from);
    const frames = this.#frames;
    this.#frames = 0;
    this.#memory = null;
    this.#put(batch, frames);
  }
}

/** Calls back with each frame of a batch, as a range of it. The batch must be whole. */
export function forEachFrame(batch: Buffer, callback: (frame: Buffer) => void): void {
  for (let at = 0; at < batch.length; ) {
    const length = batch.readUInt32BE(at);
    callback(batch.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length));
    at += LENGTH_BYTES + length;
  }
}
