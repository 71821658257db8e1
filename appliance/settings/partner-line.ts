// Asks the other CoServer to take a setting, over the control stream, and knows the answer by its number.
import type { SettingsMessage } from '../wire/partner-settings.ts';

/** It writes to its disk before it answers. */
const ANSWER_WITHIN_MS = 5_000;
/** Whether it has it is not known. */
export const NO_ANSWER = 'it has not said whether it has: ask again';

type Question = Exclude<SettingsMessage, { kind: 'answer' }>;
/** Omit over each member of a union. */
type WithoutNumber<T> = T extends unknown ? Omit<T, 'number'> : never;

export class PartnerLine {
  readonly #say: (message: SettingsMessage) => void;
  readonly #waiting = new Map<number, (refusal: string) => void>();
  #number: number;

  /** @param first Of a process: an answer to the one before it must fit nothing here. */
  constructor(say: (message: SettingsMessage) => void, first: number) {
    this.#say = say;
    this.#number = first;
  }

  /** '': it is so there now. Never rejects. */
  ask(question: WithoutNumber<Question>): Promise<string> {
    const number = ++this.#number;
    return new Promise((resolve) => {
      const timer = setTimeout(() => answered(NO_ANSWER), ANSWER_WITHIN_MS);
      const answered = (refusal: string): void => {
        clearTimeout(timer);
        this.#waiting.delete(number);
        resolve(refusal);
      };
      this.#waiting.set(number, answered);
      this.#say({ ...question, number });
    });
  }

  answered({ number, refusal }: Extract<SettingsMessage, { kind: 'answer' }>): void {
    this.#waiting.get(number)?.(refusal);
  }

  answer(number: number, refusal: string): void {
    this.#say({ kind: 'answer', number, refusal });
  }
}
