// When the primary's engine may go on after a checkpoint, and when the output of its interval leaves.
//
// The order in a checkpoint of interval n, on which the other streams rely:
//   VMSTATE_SEND read      the guest is stopped and drained: the gate is asked to `cut`
//   last byte read and cut answered   interval counter n+1; only then may the engine learn LOADED and run the guest
//   "committed n" and cut answered    the gate is told `commit n`: the output of n leaves
import { AnswerDeadline, DURABLE_WITHIN_MS, ENGINE_WITHIN_MS } from './answer-deadline.ts';
import { CheckpointInWork } from './checkpoint-in-work.ts';
import { LOADED_BYTES, RECEIVED_BYTES, REPLY_BYTES } from './return-codec.ts';
import type { SessionSurroundings } from './session.ts';

export interface CheckpointOrderSink {
  toEngine(words: Uint8Array): void;
  /** Before the engine is told. */
  resumes(): void;
  lose(cause: 'protocol' | 'stalled', reason: string): void;
  hasEnded(): boolean;
}

export class CheckpointOrder {
  readonly #early: boolean;
  readonly #around: SessionSurroundings;
  readonly #sink: CheckpointOrderSink;
  readonly #answer: AnswerDeadline;
  #checkpoint: CheckpointInWork | undefined;
  /** Early acknowledgement: the engine goes on, the secondary still loads. */
  #loading: CheckpointInWork | undefined;
  #cut: Promise<unknown> | undefined;
  #committed = 0;
  #loaded = 0;
  #checkpoints = 0;

  #expect(what: string, withinMs: number): void {
    this.#answer.expect(what, withinMs * (this.#around.slowness ?? 1));
  }

  /** @param early The engine goes on as soon as a checkpoint is handed over, not only when the secondary has loaded it. */
  constructor(early: boolean, around: SessionSurroundings, sink: CheckpointOrderSink) {
    this.#early = early;
    this.#around = around;
    this.#sink = sink;
    this.#answer = new AnswerDeadline((reason) => sink.lose('stalled', reason));
  }

  /** From REQUEST until the engine goes on. */
  get inWork(): CheckpointInWork | undefined {
    return this.#checkpoint;
  }
  get committed(): number {
    return this.#committed;
  }
  get loaded(): number {
    return this.#loaded;
  }
  get checkpoints(): number {
    return this.#checkpoints;
  }

  /** REQUEST: `stop` must follow. */
  begin(): CheckpointInWork {
    const checkpoint = new CheckpointInWork(this.#around.interval.current, this.#around.nowMs());
    this.#checkpoint = checkpoint;
    return checkpoint;
  }

  /** The primary may stop as soon as the secondary has, or earlier. */
  stop(checkpoint: CheckpointInWork): void {
    this.#replyEarly();
    this.#expect(`stop for the checkpoint of interval ${checkpoint.interval}`, ENGINE_WITHIN_MS);
  }

  /** VMSTATE_SEND: the guest is stopped. */
  stopped(checkpoint: CheckpointInWork): void {
    this.#cut = this.#around.cut(checkpoint.interval);
    this.#cut.catch(() => {});
  }

  /** The checkpoint was read whole. */
  complete(checkpoint: CheckpointInWork): void {
    this.#expect(`make the checkpoint of interval ${checkpoint.interval} its own`, DURABLE_WITHIN_MS);
    void this.#afterCut(checkpoint);
  }

  /** Waits for the gate, raises the counter, lets the engine and the output go. */
  async #afterCut(checkpoint: CheckpointInWork): Promise<void> {
    try {
      await this.#cut;
    } catch (error) {
      this.#sink.lose('protocol', `the gate did not cut interval ${checkpoint.interval}: ${(error as Error).message}`);
      return;
    }
    if (this.#sink.hasEnded()) return;
    this.#around.interval.current = checkpoint.interval + 1;
    checkpoint.cutDone = true;
    if (this.#early) {
      if (!checkpoint.loaded) this.#loading = checkpoint;
      this.#resumeEngine(checkpoint, RECEIVED_BYTES, LOADED_BYTES);
    } else if (checkpoint.loaded) {
      this.#resumeEngine(checkpoint, LOADED_BYTES);
    }
    this.#releaseOutput(checkpoint);
    if (checkpoint.loaded) this.#report(checkpoint);
  }

  /** The primary stops without waiting for the secondary's answer, but never while the secondary has a checkpoint to load. */
  #replyEarly(): void {
    const checkpoint = this.#checkpoint;
    if (!this.#early || !checkpoint || checkpoint.replied || this.#loading) return;
    checkpoint.replied = true;
    this.#sink.toEngine(REPLY_BYTES);
  }

  #resumeEngine(checkpoint: CheckpointInWork, ...words: Uint8Array[]): void {
    checkpoint.resumedMs = this.#around.nowMs();
    this.#checkpoint = undefined;
    this.#sink.resumes();
    this.#sink.toEngine(Buffer.concat(words));
  }

  /** The partner owns this interval. */
  onCommitted(interval: number): void {
    const checkpoint = this.#loading ?? this.#checkpoint;
    if (!checkpoint || interval !== checkpoint.interval || checkpoint.committed) {
      const expected = checkpoint ? checkpoint.interval : 'none';
      this.#sink.lose('protocol', `the partner committed interval ${interval}, ${expected} was expected`);
      return;
    }
    this.#expect(`load the checkpoint of interval ${interval}`, ENGINE_WITHIN_MS);
    checkpoint.committed = true;
    checkpoint.committedMs = this.#around.nowMs();
    this.#committed = interval;
    this.#releaseOutput(checkpoint);
  }

  /** The guest has shut down; the partner owns this interval without a checkpoint. Answers when the gate knows. */
  async commitFinal(interval: number): Promise<void> {
    this.#committed = interval;
    await this.#around.commitOutput(interval);
  }

  /** Not before the cut: what the gate reads of this interval later would otherwise stay behind. */
  #releaseOutput(checkpoint: CheckpointInWork): void {
    if (!checkpoint.cutDone || !checkpoint.committed) return;
    this.#around.commitOutput(checkpoint.interval).catch((error) => {
      this.#sink.lose('protocol', `the gate did not commit interval ${checkpoint.interval}: ${(error as Error).message}`);
    });
  }

  /** The secondary has stopped. */
  onReplied(): void {
    this.#answer.met();
  }

  /** The secondary's engine has loaded the checkpoint that it owns. */
  onLoaded(): void {
    const checkpoint = this.#loading ?? this.#checkpoint;
    if (!checkpoint?.committed) {
      this.#sink.lose('protocol', 'LOADED before the commit');
      return;
    }
    // Early acknowledgement: the stop for the next one may be expected already.
    if (this.#checkpoint && this.#checkpoint !== checkpoint) this.#answer.progress();
    else this.#answer.met();
    checkpoint.loaded = true;
    this.#loaded = checkpoint.interval;
    this.#checkpoints++;
    this.#loading = undefined;
    // Before the gate has cut, the engine must wait: #afterCut goes on.
    if (!checkpoint.cutDone) return;
    if (!this.#early) this.#resumeEngine(checkpoint, LOADED_BYTES);
    this.#report(checkpoint);
    this.#replyEarly();
  }

  #report(checkpoint: CheckpointInWork): void {
    this.#around.emit('checkpoint', checkpoint.report(this.#around.nowMs()));
  }

  /** The partner works: what is expected of it has its full time again. */
  onProgress(): void {
    this.#answer.progress();
  }

  /** Nothing is expected any more. */
  end(): void {
    this.#answer.met();
  }
}
