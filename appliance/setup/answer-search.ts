// An answer file, wherever one may be found: read when it is new or another one, with what lies beside it.
import { hasTpm2 } from '../../drivers/tpm/index.ts';
import { encryptionProblem, stateEncryption } from '../encryption/facts.ts';
import { readAnswerFile } from './answer-file.ts';
import type { Question } from './answers.ts';
import { copyBeside } from './copy-beside.ts';
import { type FoundAnswers, findAnswers } from './find-answers.ts';
import type { FileAnswers } from './state.ts';

export interface AnswerSearchOptions {
  stateFolder: string;
  runFolder: string;
  /** An answer file; null: where one may be found. */
  answers: string | null;
  log: (line: string) => void;
}

export type FoundFile = { kind: 'file'; file: FileAnswers } | { kind: 'wrong'; problem: string };

export class AnswerSearch {
  readonly #options: AnswerSearchOptions;
  /** What was read last, or why it was not. */
  #text = '';
  /** A slow stick is read once at a time. */
  #isReading = false;

  constructor(options: AnswerSearchOptions) {
    this.#options = options;
  }

  /** Null: none, or the same as before. */
  async look(): Promise<FoundFile | null> {
    if (this.#isReading) return null;
    this.#isReading = true;
    const { answers, runFolder, log } = this.#options;
    let result: FoundFile | null = null;
    try {
      await findAnswers(answers, `${runFolder}/stick`, async (found) => {
        result = await this.#read(found);
      });
      return result;
    } catch (error) {
      const { message } = error as Error;
      if (this.#text === message) return null;
      this.#text = message;
      log(`answer file: ${message}`);
      return { kind: 'wrong', problem: message };
    } finally {
      this.#isReading = false;
    }
  }

  async #read({ from, text, pathOf }: FoundAnswers): Promise<FoundFile | null> {
    const { log, stateFolder } = this.#options;
    if (text === this.#text) return null;
    this.#text = text;
    const reading = readAnswerFile(text);
    if (reading.kind === 'wrong') {
      for (const problem of reading.problems) log(`${from}: ${problem}`);
      const more = reading.problems.length > 1 ? ` (and ${reading.problems.length - 1} more)` : '';
      return { kind: 'wrong', problem: `${from}: ${reading.problems[0]}${more}` };
    }
    const { file } = reading;
    const unmet = encryptionProblem(file.stateEncryption, stateEncryption(), await hasTpm2());
    if (unmet !== null) {
      log(`${from}: ${unmet}`);
      return { kind: 'wrong', problem: unmet };
    }
    const given = { ...file.answers };
    for (const [question, name] of Object.entries(file.copies)) {
      const target = `${stateFolder}/guest/${question.split('.')[1]}`;
      await copyBeside(pathOf(name), target);
      log(`${from}: ${name} is ${target} now`);
      given[question as Question] = target;
    }
    log(`answers from ${from}`);
    return { kind: 'file', file: { ...file, answers: given } };
  }
}
