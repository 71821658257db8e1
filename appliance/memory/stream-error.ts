// What both parsers of the engines' stream throw.

/** The stream is not what the qualified engine sends: protection ends. */
export class StreamError extends Error {
  override name = 'StreamError';
  readonly offset: number;
  constructor(what: string, offset: number) {
    super(`${what} at offset ${offset}`);
    this.offset = offset;
  }
}
