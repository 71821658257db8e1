// Which intervals the secondary owns, which of them its engine has loaded, and whether this replica may run.
//
//   whole checkpoint n --decide(n)--> owned: durable here --REPLY n, apply(n)--> to the engine --LOADED--> loaded
//                          `-- any of it fails --> undecided: memory and disk could differ; this replica must not run
//
// A takeover waits until every owned interval is loaded. The final interval of a guest that has shut down has no checkpoint.
import { ChangeSignal } from './change-signal.ts';
import type { SessionSurroundings } from './session.ts';

/** Loading a committed checkpoint takes ms per MB. An engine that does not answer within this is broken: no takeover with it. */
const ROLL_FORWARD_TIMEOUT_MS = 20_000;

/** What happens at the steps of a commit. */
export interface CommitSteps {
  /** The interval is durable: the partner may know. */
  owned(): void;
  /** The disk has it and the replica stands: the engine gets the checkpoint. */
  load(): void;
  /** Nobody may run this replica any more. */
  failed(reason: string): void;
}

export type FinalCommit = { kind: 'refused'; reason: string } | { kind: 'committed'; isNew: boolean };

export class CommitPoint {
  readonly #around: Pick<SessionSurroundings, 'decide' | 'apply' | 'nowMs'>;
  readonly #engineLives: () => boolean;
  readonly #changes = new ChangeSignal();
  #committed = 0;
  #loaded = 0;
  /** How often the engine said that the replica is stopped and drained. */
  #replied = 0;
  /** A whole checkpoint is here; the mirror is at work on it. */
  #committing = false;
  /** Nobody knows whether the interval is durable, or it is and cannot be loaded: this replica must not run. */
  #undecided: string | undefined;
  #takingOver = false;
  #finalCommitted = false;

  constructor(around: Pick<SessionSurroundings, 'decide' | 'apply' | 'nowMs'>, engineLives: () => boolean) {
    this.#around = around;
    this.#engineLives = engineLives;
  }

  get committed(): number {
    return this.#committed;
  }
  get loaded(): number {
    return this.#loaded;
  }
  get replied(): number {
    return this.#replied;
  }
  get isCommitting(): boolean {
    return this.#committing;
  }

  /** The checkpoint of the next interval has come whole. */
  async commit(steps: CommitSteps): Promise<void> {
    const interval = this.#committed + 1;
    this.#committing = true;
    try {
      await this.#around.decide(interval);
      this.#committed = interval;
      steps.owned();
      // The replica must have stopped before its private writes are dropped.
      await this.#untilReplied(interval);
      await this.#around.apply(interval);
    } catch (error) {
      this.#undecided = `interval ${interval} cannot be completed here: ${(error as Error).message}`;
      this.#changes.notify();
      steps.failed(this.#undecided);
      return;
    }
    this.#committing = false;
    steps.load();
    this.#changes.notify();
  }

  async #untilReplied(interval: number): Promise<void> {
    const deadline = this.#around.nowMs() + ROLL_FORWARD_TIMEOUT_MS;
    while (this.#replied < interval) {
      const leftMs = deadline - this.#around.nowMs();
      if (!this.#engineLives() || leftMs <= 0) throw new Error("the secondary's engine did not stop for it");
      await this.#changes.next(leftMs);
    }
  }

  /** REPLY. */
  engineReplied(): void {
    this.#replied++;
  }

  /** LOADED: which interval. Throws when nothing was to be loaded. */
  engineLoaded(): number {
    this.#loaded++;
    if (this.#loaded !== this.#committed)
      throw new Error(`the engine loaded ${this.#loaded} checkpoints, ${this.#committed} were committed`);
    return this.#loaded;
  }

  /** Something happened for which a commit or a takeover may wait. */
  changed(): void {
    this.#changes.notify();
  }

  /** The guest has shut down at the primary. @param begins Nothing stands against it: no checkpoint will follow. */
  async commitFinal(interval: number, hasStarted: () => boolean, begins: () => void): Promise<FinalCommit> {
    while (this.#committing && !this.#undecided) await this.#changes.next(ROLL_FORWARD_TIMEOUT_MS);
    if (this.#takingOver) return { kind: 'refused', reason: 'the secondary takes over' };
    if (this.#undecided) return { kind: 'refused', reason: this.#undecided };
    if (!hasStarted() || interval < this.#committed || interval > this.#committed + 1)
      return { kind: 'refused', reason: `interval ${interval} after ${this.#committed}` };
    begins();
    if (interval === this.#committed) return { kind: 'committed', isNew: false };
    this.#committing = true;
    try {
      await this.#around.decide(interval);
      this.#committed = interval;
      this.#finalCommitted = true;
      await this.#around.apply(interval);
    } catch (error) {
      this.#undecided = `the mirror failed at the final interval ${interval}: ${(error as Error).message}`;
      return { kind: 'refused', reason: this.#undecided };
    } finally {
      this.#committing = false;
      this.#changes.notify();
    }
    return { kind: 'committed', isNew: true };
  }

  /** Takeover: the engine has every owned interval. Throws when this replica must not run. */
  async rollForward(): Promise<{ committed: number; loaded: number; waitedMs: number }> {
    const startMs = this.#around.nowMs();
    const deadline = startMs + ROLL_FORWARD_TIMEOUT_MS;
    this.#takingOver = true;
    for (;;) {
      if (this.#undecided) throw new Error(`memory stream: ${this.#undecided}`);
      if (this.#finalCommitted)
        throw new Error('memory stream: nothing to take over: the guest has shut down and its last interval is committed');
      if (!this.#committing && this.#loaded === this.#committed) break;
      if (!this.#engineLives()) {
        throw new Error(`memory stream: the engine ended before it loaded the committed interval ${this.#committed}`);
      }
      const leftMs = deadline - this.#around.nowMs();
      if (leftMs <= 0) {
        throw new Error(
          `memory stream: the engine did not load the committed interval ${this.#committed} within ${ROLL_FORWARD_TIMEOUT_MS} ms`,
        );
      }
      await this.#changes.next(leftMs);
    }
    return { committed: this.#committed, loaded: this.#loaded, waitedMs: this.#around.nowMs() - startMs };
  }
}
