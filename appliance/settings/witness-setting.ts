// The witness of the pair. Two of which each could grant would let both CoServers go on, so this one asks none from the moment it has said to the other
// one which it is to be until that has answered. An answer that is lost leaves it so, also after a loss of power, and the question is put again.
import type { CoServerConfig } from '../config.ts';
import type { RequestAnswer } from '../console/api/types.ts';
import type { WitnessPlace } from '../wire/partner-settings.ts';
import { otherOf } from './changes.ts';
import { type NewFile, type Sources, witnessFiles } from './edits.ts';
import { NO_ANSWER, type PartnerLine } from './partner-line.ts';
import { noteSettings, readSettingsRecord } from './record.ts';

export interface WitnessParts {
  config: CoServerConfig;
  problemOf(text: string): string | null;
  /** Null: none for now. */
  takeWitness(place: WitnessPlace | null): void;
  tell(severity: 'info' | 'warning', text: string): void;
  sources(): Sources;
  commit(files: readonly NewFile[]): void;
  line: Pick<PartnerLine, 'ask'>;
}

export class WitnessSetting {
  readonly #p: WitnessParts;
  /** The other one was asked, and has not said whether it has it. */
  #wish: WitnessPlace | null;
  #isAsking = false;

  constructor(parts: WitnessParts) {
    this.#p = parts;
    this.#wish = readSettingsRecord(parts.config.stateDir).witnessWish;
  }

  get isAsked(): boolean {
    return this.#wish !== null;
  }

  /** At the start of the process: what was asked before it counts. */
  settle(): void {
    if (this.#wish) this.#p.takeWitness(null);
  }

  /** Throws the file system's error: then nothing has changed, on neither side. */
  async change({ address, port }: WitnessPlace, by: string): Promise<RequestAnswer> {
    const { config, problemOf, sources, takeWitness, tell } = this.#p;
    const place = { address, port };
    const wrong = problemOf(witnessFiles(sources(), place)[0]?.text ?? '');
    if (wrong !== null) return { accepted: false, reason: wrong };
    noteSettings(config.stateDir, { witnessWish: place });
    this.#wish = place;
    takeWitness(null);
    const refusal = await this.#ask(place);
    const other = otherOf(config);
    if (refusal === NO_ANSWER) {
      const text = `CoServer ${other} has not said whether it has the witness ${address}, port ${port}: it is asked again until it does, and no witness decides here before.`;
      tell('warning', `${text} Asked at ${by}.`);
      return { accepted: true, detail: { text } };
    }
    if (refusal !== '') return { accepted: false, reason: `CoServer ${other} does not take it: ${refusal}. Nothing was changed here.` };
    return {
      accepted: true,
      detail: {
        text: 'Both CoServers ask this witness now. Enrol the pair there, if that was not done: "Show what enrols this pair at a witness".',
      },
    };
  }

  /** Every few seconds, while the other one is heard. Never rejects. */
  async askAgain(): Promise<void> {
    const { config, tell } = this.#p;
    if (!this.#wish || this.#isAsking) return;
    const { address, port } = this.#wish;
    const refusal = await this.#ask(this.#wish).catch((error: Error) => `it cannot be written here (${error.message})`);
    if (refusal !== '' && refusal !== NO_ANSWER)
      tell('warning', `The witness ${address}, port ${port} is not taken by CoServer ${otherOf(config)}: ${refusal}.`);
  }

  /** As the line answers. Taken by both, or by none, where it is not NO_ANSWER. */
  async #ask(place: WitnessPlace): Promise<string> {
    const { commit, config, line, sources, takeWitness, tell } = this.#p;
    this.#isAsking = true;
    try {
      const refusal = await line.ask({ kind: 'witness', place });
      if (refusal === NO_ANSWER) return refusal;
      if (refusal === '') {
        commit(witnessFiles(sources(), place));
        Object.assign(config.witness, place);
        tell('info', `The witness is ${place.address}, port ${place.port}, from now on, on both CoServers.`);
      }
      noteSettings(config.stateDir, { witnessWish: null });
      this.#wish = null;
      takeWitness({ address: config.witness.address, port: config.witness.port });
      return refusal;
    } finally {
      this.#isAsking = false;
    }
  }
}
