// Frames on a byte stream: be32 length + Ethernet frame, the framing of the engine's `-netdev stream`, of the LAN driver's
// batches and of the partner's messages. Pure.
//
// Nothing is copied: a chunk leaves as one sub-range that holds only whole frames. The one frame that lies across two
// chunks is put together in a buffer of its own.

/** Bytes of the length in front of every frame. */
export const LENGTH_BYTES = 4;

/** An Ethernet header: anything shorter can neither be sent nor addressed. */
export const MINIMUM_FRAME_BYTES = 14;

/** The longest frame the engine can send: 64 KiB of IP packet behind a header with two VLAN tags. Longer: the stream is out of step. */
export const MAXIMUM_FRAME_BYTES = 65_536 + 22;

/** Where the frames of the stream go. `frame` is called once per frame, before the batch that contains it. */
export interface FrameSink {
  frame(bytes: Buffer, offset: number, length: number): void;
  /** Only whole frames with their lengths. */
  batch(batch: Buffer, frames: number): void;
  /** A frame too short to be Ethernet was left out. */
  runt(): void;
}

export class FramingError extends Error {
  constructor(length: number) {
    super(`a frame of ${length} bytes was announced, at most ${MAXIMUM_FRAME_BYTES} are possible: the frame stream is out of step`);
    this.name = 'FramingError';
  }
}

/** Cuts a byte stream into batches of whole frames. Throws FramingError; the splitter is useless after that. */
export class FrameSplitter {
  readonly #sink: FrameSink;
  /** The frame (with its length) that began in an earlier chunk, and how much of it is there. */
  #open: Buffer | null = null;
  #have = 0;
  /** A length of which only the first bytes are there. */
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthHave = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    if (this.#lengthHave > 0) {
      at = chunk.copy(this.#length, this.#lengthHave, 0, LENGTH_BYTES - this.#lengthHave);
      this.#lengthHave += at;
      if (this.#lengthHave < LENGTH_BYTES) return;
      this.#lengthHave = 0;
      this.#begin(checked(this.#length.readUInt32BE(0)));
    }
    if (this.#open) {
      const take = chunk.copy(this.#open, this.#have, at);
      at += take;
      this.#have += take;
      if (this.#have < this.#open.length) return;
      const whole = this.#open;
      this.#open = null;
      this.#emit(whole, 0, whole.length);
    }
    at = this.#emit(chunk, at, chunk.length);
    if (at === chunk.length) return;
    if (chunk.length - at < LENGTH_BYTES) {
      this.#lengthHave = chunk.copy(this.#length, 0, at);
      return;
    }
    this.#begin(checked(chunk.readUInt32BE(at)));
    if (this.#open) this.#have += chunk.copy(this.#open, this.#have, at + LENGTH_BYTES);
  }

  #begin(length: number): void {
    this.#open = Buffer.allocUnsafe(LENGTH_BYTES + length);
    this.#have = this.#open.writeUInt32BE(length, 0);
  }

  /** Reports the whole frames in [from, to); answers where they end. */
  #emit(bytes: Buffer, from: number, to: number): number {
    const sink = this.#sink;
    let runStart = from;
    let at = from;
    let frames = 0;
    while (to - at >= LENGTH_BYTES) {
      const length = checked(bytes.readUInt32BE(at));
      const next = at + LENGTH_BYTES + length;
      if (next > to) break;
      if (length < MINIMUM_FRAME_BYTES) {
        if (frames > 0) sink.batch(bytes.subarray(runStart, at), frames);
        sink.runt();
        runStart = next;
        frames = 0;
      } else {
        sink.frame(bytes, at + LENGTH_BYTES, length);
        frames++;
      }
      at = next;
    }
    if (frames > 0) sink.batch(runStart === 0 && at === bytes.length ? bytes : bytes.subarray(runStart, at), frames);
    return at;
  }
}

function checked(length: number): number {
  if (length > MAXIMUM_FRAME_BYTES) throw new FramingError(length);
  return length;
}

/** The number of frames of a batch. Throws FramingError when it does not end with a whole frame. */
export function countFrames(batch: Buffer): number {
  let frames = 0;
  let at = 0;
  while (at < batch.length) {
    if (batch.length - at < LENGTH_BYTES) throw new FramingError(batch.length - at);
    const length = checked(batch.readUInt32BE(at));
    at += LENGTH_BYTES + length;
    frames++;
  }
  if (at !== batch.length) throw new FramingError(at - batch.length);
  return frames;
}

/** One batch from single frames: for frames that we make ourselves. */
export function toBatch(frames: readonly Uint8Array[]): Buffer {
  const batch = Buffer.allocUnsafe(frames.reduce((n, f) => n + LENGTH_BYTES + f.length, 0));
  let at = 0;
  for (const frame of frames) {
    at = batch.writeUInt32BE(frame.length, at);
    batch.set(frame, at);
    at += frame.length;
  }
  return batch;
}
