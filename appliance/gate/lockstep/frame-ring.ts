// The latest frames within a limit of bytes and of frames; the oldest are forgotten. Pure.

export class FrameRing {
  readonly #limitBytes: number;
  readonly #limitFrames: number;
  #queue: Buffer[] = [];
  #start = 0;
  #bytes = 0;
  /** Since it was made. */
  forgotten = 0;

  constructor(limitBytes: number, limitFrames: number) {
    this.#limitBytes = limitBytes;
    this.#limitFrames = limitFrames;
  }

  get frames(): number {
    return this.#queue.length - this.#start;
  }

  push(frame: Buffer): void {
    this.#queue.push(frame);
    this.#bytes += frame.length;
    while (this.frames > this.#limitFrames || this.#bytes > this.#limitBytes) {
      this.#bytes -= this.#queue[this.#start]?.length ?? 0;
      this.#start++;
      this.forgotten++;
    }
    // Moved once per as many frames as there are: a constant per frame.
    if (this.#start > this.#limitFrames) {
      this.#queue = this.#queue.slice(this.#start);
      this.#start = 0;
    }
  }

  takeAll(): Buffer[] {
    const all = this.#queue.slice(this.#start);
    this.clear();
    return all;
  }

  clear(): void {
    this.#queue = [];
    this.#start = 0;
    this.#bytes = 0;
  }
}
