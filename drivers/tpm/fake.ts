// A conversation with a TPM that was written down (testdata/), played again: each command must be the one that was given then, to the byte, and
// its answer is the one of then. Nothing is made up, so nothing can be right by agreement between two halves of the same mistake.
import type { TpmTransport } from './types.ts';

/** Pairs of command and answer, hexadecimal. */
export type Conversation = readonly (readonly [command: string, answer: string])[];

export class PlayedTpm implements TpmTransport {
  readonly #conversation: Conversation;
  #at = 0;
  isClosed = false;

  constructor(conversation: Conversation) {
    this.#conversation = conversation;
  }

  exchange(command: Buffer): Promise<Buffer> {
    const [expected, answer] = this.#conversation[this.#at] ?? [];
    this.#at += 1;
    const said = command.toString('hex');
    if (expected !== said || answer === undefined)
      return Promise.reject(new Error(`command ${this.#at} of the conversation is ${said}, and was ${expected ?? 'not given'}`));
    return Promise.resolve(Buffer.from(answer, 'hex'));
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  /** Nothing of it is left to be said. */
  get isOver(): boolean {
    return this.#at === this.#conversation.length;
  }
}
