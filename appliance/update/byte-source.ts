// The bytes of an upload, in the pieces that are asked for. What comes too short or too long has a name.
import { UpdateRefusal } from './bundle.ts';

export class ByteSource {
  readonly #from: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  #taken = 0;

  constructor(from: AsyncIterable<Uint8Array>) {
    this.#from = from[Symbol.asyncIterator]();
  }

  /** Throws UpdateRefusal `truncated` when there are fewer. */
  async exact(bytes: number, what: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.pieces(bytes, what)) parts.push(part);
    return Buffer.concat(parts);
  }

  async *pieces(bytes: number, what: string): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more()))
        throw new UpdateRefusal(
          'truncated',
          `The update ends after ${this.#taken} bytes, in the middle of its ${what}: the upload was cut off. Send it again.`,
        );
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      this.#taken += part.length;
      left -= part.length;
      yield part;
    }
  }

  /** Throws UpdateRefusal `tooLong` when something is left. */
  async end(): Promise<void> {
    if (this.#rest.length === 0 && !(await this.#more())) return;
    throw new UpdateRefusal('tooLong', `The update goes on after its ${this.#taken} bytes: the file is damaged. Fetch it again.`);
  }

  async close(): Promise<void> {
    await this.#from.return?.();
  }

  async #more(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#from.next();
      if (done) return false;
      this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return true;
  }
}
