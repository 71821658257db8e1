// When the secondary's half of the audit looks at the replica's RAM: in turns of the event loop, so that the stream goes on in between.
//
//   REPLY --stopped--> samples while the replica stands --loading--> looks at those suspected until LOADED
import type { PageDifference } from './suspects.ts';
import type { TargetAudit } from './target-audit.ts';

export interface ReplicaWatchSink {
  /** The first proven difference, once. */
  differs(difference: PageDifference): void;
  /** The RAM cannot be read. */
  failed(reason: string): void;
  /** False: the session is over, or the engine was left alone. */
  isOn(): boolean;
}

export class ReplicaWatch {
  readonly #audit: TargetAudit;
  readonly #sink: ReplicaWatchSink;
  /** From REPLY until the checkpoint goes to the engine. */
  #standing = false;
  #loaded = 0;
  #differs = false;

  constructor(audit: TargetAudit, sink: ReplicaWatchSink) {
    this.#audit = audit;
    this.#sink = sink;
  }

  /** The replica stands still at the end of `interval`. */
  stopped(interval: number): void {
    this.#standing = true;
    try {
      const difference = this.#audit.stopped(interval);
      if (difference && !this.#differs) {
        this.#differs = true;
        this.#sink.differs(difference);
      }
    } catch (error) {
      this.#sink.failed((error as Error).message);
      return;
    }
    this.#inTurns(() => this.#standing && this.#audit.sample());
  }

  /** The checkpoint of `interval` goes to the engine now. */
  loading(interval: number): void {
    this.#standing = false;
    if (this.#audit.loading(interval)) this.#inTurns(() => this.#loaded < interval && this.#audit.look());
  }

  /** RECEIVED. */
  received(): void {
    this.#audit.received();
  }

  /** LOADED. */
  loaded(interval: number): void {
    this.#loaded = interval;
    this.#audit.loaded();
  }

  /** Once per turn of the event loop, until `turn` says false. */
  #inTurns(turn: () => boolean): void {
    setImmediate(() => {
      if (!this.#sink.isOn()) return;
      try {
        if (turn()) this.#inTurns(turn);
      } catch (error) {
        this.#sink.failed((error as Error).message);
      }
    });
  }
}
