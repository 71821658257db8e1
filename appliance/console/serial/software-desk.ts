// What the serial console knows of the software while its page is shown, and how it asks for something about it.
import type { RequestAnswer } from '../api/types.ts';
import { answered, isMoving, NOT_ASKED, seen, type UpdatePicture, type UpdateState, type UpdateVerb } from '../update-state.ts';
import { UPDATE_VERBS } from '../update-views.ts';

/** It is read from the disk: not at every drawing. */
const MOVING_MS = 1_000;
const RESTING_MS = 5_000;

export interface SoftwareSource {
  status(): Promise<object>;
  rollback(force: boolean, by: string): Promise<RequestAnswer>;
  restart(force: boolean, by: string): RequestAnswer;
  /** Missing: this CoServer does not update pairs. */
  pair?(action: 'start' | 'stop' | 'allowRestart', mayRestartGuest: boolean, by: string): RequestAnswer | Promise<RequestAnswer>;
}

export class SoftwareDesk {
  readonly #source: SoftwareSource | undefined;
  readonly #nowMs: () => number;
  #state: UpdateState;
  #isAsking = false;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(source: SoftwareSource | undefined, nowMs: () => number) {
    this.#source = source;
    this.#nowMs = nowMs;
    this.#state = source ? NOT_ASKED : { kind: 'none' };
  }

  get state(): UpdateState {
    return this.#state;
  }

  /** Its page is being drawn: what is known may be old. */
  look(onChange: () => void): void {
    const age = this.#nowMs() - this.#askedAt;
    if (!this.#source || this.#isAsking || age < (isMoving(this.#state) ? MOVING_MS : RESTING_MS)) return;
    this.#isAsking = true;
    this.#askedAt = this.#nowMs();
    this.#source
      .status()
      .then((picture): UpdateState => ({ kind: 'known', picture: picture as UpdatePicture, forcible: {} }))
      .catch((error: Error): UpdateState => ({ kind: 'unknown', reason: error.message }))
      .then((now) => {
        this.#state = seen(this.#state, now);
        this.#isAsking = false;
        onChange();
      });
  }

  /** `name`: of the action. Answers what is said to the operator. */
  async ask(name: string, typed: string, by: string): Promise<string> {
    const verb = UPDATE_VERBS[name];
    if (!verb || !this.#source) return 'Refused: there is nothing of that kind here.';
    const answer = await request(this.#source, verb, typed === 'force', by);
    this.#askedAt = Number.NEGATIVE_INFINITY;
    this.#state = answered(this.#state, verb, !answer.accepted && answer.canForce ? answer.reason : null);
    if (!answer.accepted)
      return answer.canForce ? `Refused; asked for again, it can be forced: ${answer.reason}` : `Refused: ${answer.reason}`;
    if (verb === 'rollback') return `Accepted: version ${answer.detail?.version} runs from the next start on.`;
    return verb === 'restart' ? 'Accepted: this server starts again.' : 'Accepted.';
  }
}

async function request(source: SoftwareSource, verb: UpdateVerb, force: boolean, by: string): Promise<RequestAnswer> {
  switch (verb) {
    case 'restart':
      return source.restart(force, by);
    case 'rollback':
      return source.rollback(force, by);
    case 'start':
    case 'stop':
    case 'allowRestart':
      return source.pair
        ? source.pair(verb, verb === 'allowRestart', by)
        : { accepted: false, reason: 'This CoServer does not update pairs by itself.' };
    default:
      throw new Error(`unknown verb ${String(verb satisfies never)}`);
  }
}
