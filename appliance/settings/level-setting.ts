// The protection level of the pair: both write it, then each starts its process again in its turn. What is configured is on the disk of both, so a
// loss of power meanwhile only makes the starts.
import type { RequestAnswer } from '../console/api/types.ts';
import type { ChangeHow } from '../console/settings-state.ts';
import type { State } from '../core/state.ts';
import { levelFiles, type NewFile, type Sources } from './edits.ts';
import type { PartnerLine } from './partner-line.ts';
import { isTurnForLevel, LEVEL_COST, whyNotAtLevel } from './when.ts';

export interface LevelParts {
  state(): State;
  problemOf(text: string): string | null;
  levelAtStart(configured: 2 | 3): 2 | 3;
  tell(severity: 'info', text: string): void;
  sources(): Sources;
  commit(files: readonly NewFile[]): void;
  line: Pick<PartnerLine, 'ask'>;
}

export class LevelSetting {
  readonly #p: LevelParts;
  /** As configured. Not written into the configuration's sections: the rest of this process runs at the one it began with. */
  now: 2 | 3;

  constructor(now: 2 | 3, parts: LevelParts) {
    this.now = now;
    this.#p = parts;
  }

  /** Throws what `commit` throws: then nothing has changed here, and the partner was told so. */
  async change(level: 2 | 3, { by, isAccepted }: ChangeHow): Promise<RequestAnswer> {
    const { line, problemOf, state, tell } = this.#p;
    const other = state().me === 'A' ? 'B' : 'A';
    const files = levelFiles(this.#p.sources(), level);
    const wrong = problemOf(files[0]?.text ?? '') ?? whyNotAtLevel(state(), level);
    if (wrong !== null) return { accepted: false, reason: wrong };
    if (!isAccepted) return { accepted: false, reason: LEVEL_COST, canForce: true };
    const refusal = await line.ask({ kind: 'level', level });
    if (refusal !== '') return { accepted: false, reason: `CoServer ${other} does not take it: ${refusal}. Nothing was changed here.` };
    try {
      this.#p.commit(files);
    } catch (error) {
      await line.ask({ kind: 'level', level: this.now });
      throw error;
    }
    this.now = level;
    tell('info', `The pair is to run at protection level ${level}, asked at ${by}: both processes start again, one after the other.`);
    return { accepted: true, detail: { text: 'Both CoServers have it. Their processes start again, the one without the guest first.' } };
  }

  /** Null: this process runs at it, or it is not its turn. */
  startsAgainAt(): 2 | 3 | null {
    const state = this.#p.state();
    if (state.level === this.now) return null;
    const level = this.#p.levelAtStart(this.now);
    return isTurnForLevel(state, level) ? level : null;
  }
}
