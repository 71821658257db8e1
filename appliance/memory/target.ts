// The secondary's side of the memory stream: feeds the engine's incoming socket, and leads the order of a checkpoint here.
//
//   listening -> precopy -> readyHeld -> running <-> checkpoint -> ended
//
// A checkpoint reaches the engine whole or not at all: from VMSTATE_SEND on it is collected. With its last byte this side owns
// interval n: the mirror decides n (durable), the primary is told, the mirror applies n, then the engine gets it all (commit-point.ts).
import type { Socket } from 'node:net';
import type { MemoryPhase, MemoryStatus } from './api.ts';
import { ReplicaWatch } from './audit/replica-watch.ts';
import type { TargetAudit } from './audit/target-audit.ts';
import { BatchReader } from './batch-codec.ts';
import { type ForwardEvent, ForwardParser } from './codec.ts';
import { CommitPoint } from './commit-point.ts';
import { connectEngine } from './connect-engine.ts';
import { Incoming } from './incoming.ts';
import { type LossCause, MEMORY_STREAM_VERSION, type MemoryMessage } from './messages.ts';
import { PageCache } from './page-cache.ts';
import { type ReturnMessage, ReturnParser } from './return-codec.ts';
import { GUEST_RAM_BLOCK, type Session, type SessionSurroundings } from './session.ts';

export interface TargetOptions {
  socketPath: string;
  /** Null: nobody can read the replica's RAM. */
  audit: TargetAudit | null;
}

export class TargetSession implements Session {
  readonly role = 'target';
  readonly #around: SessionSurroundings;
  readonly #options: TargetOptions;
  readonly #forward: ForwardParser;
  readonly #return: ReturnParser;
  readonly #batches = new BatchReader(new PageCache());
  #session: number | undefined;
  readonly #point: CommitPoint;
  readonly #incoming = new Incoming((bytes) => this.#reportConsumed(bytes));
  /** Null: no audit. */
  readonly #watch: ReplicaWatch | null;
  #engine: Socket | undefined;
  #phase: MemoryPhase = 'listening';
  /** False from rollForward on, and after the session was lost: the partner's bytes are dropped. */
  #accepting = true;
  #started = false;
  #requested = 0;
  #detached = false;
  #receivedBytes = 0;

  constructor(around: SessionSurroundings, options: TargetOptions) {
    this.#around = around;
    this.#options = options;
    this.#point = new CommitPoint(around, () => this.#engine?.destroyed === false);
    const { audit } = options;
    this.#forward = new ForwardParser({
      bytes: (b) => this.#incoming.take(b),
      event: (e) => this.#onForwardEvent(e),
      pages: audit
        ? {
            summedBlock: GUEST_RAM_BLOCK,
            passed: (page, crc) => (this.#incoming.isCollecting ? audit.staged(page, crc) : audit.sent(page, crc)),
          }
        : undefined,
    });
    this.#watch = audit
      ? new ReplicaWatch(audit, {
          differs: (difference) => this.#around.emit('pageDiffers', difference),
          failed: (reason) => this.lose('engine', reason),
          isOn: () => this.#phase !== 'ended' && !this.#detached,
        })
      : null;
    this.#return = new ReturnParser((message, bytes) => this.#onReturnMessage(message, bytes));
  }

  get phase(): MemoryPhase {
    return this.#phase;
  }
  get committed(): number {
    return this.#point.committed;
  }
  get loaded(): number {
    return this.#point.loaded;
  }
  get checkpoints(): number {
    return this.#point.loaded;
  }
  get transferredBytes(): number {
    return this.#receivedBytes;
  }
  get audit(): MemoryStatus['audit'] {
    return this.#options.audit?.status ?? null;
  }

  onMessage(message: MemoryMessage): void {
    if (message.kind === 'final' && message.session === this.#session) {
      void this.#commitFinal(message.interval);
      return;
    }
    if (!this.#accepting) return;
    if (message.kind === 'begin') {
      this.#begin(message);
      return;
    }
    if (message.session !== this.#session) return;
    switch (message.kind) {
      case 'data':
        this.#receivedBytes += message.bytes.length;
        this.#guard(() => this.#forward.feed(message.bytes));
        return;
      case 'packed':
        this.#guard(() => {
          const bytes = this.#batches.open(message.batch);
          this.#receivedBytes += bytes.length;
          this.#forward.feed(bytes);
        });
        return;
      case 'released':
        this.#onReleased();
        return;
      case 'end':
        this.#finish(message.cause, `the partner ended the session: ${message.reason}`, true);
        return;
      case 'final':
        return;
      case 'committed':
      case 'consumed':
        this.lose('protocol', `message '${message.kind}' from the primary`);
        return;
      default:
        message satisfies never;
    }
  }

  onDrain(): void {
    // What this side sends is a few words per checkpoint: it never waits.
  }

  lose(cause: LossCause, reason: string): void {
    if (this.#phase === 'ended') return;
    if (cause !== 'channel') this.#tellEnd(cause, reason);
    this.#finish(cause, reason);
  }

  /** Takeover. Throws when the state of the engine and the disk could differ: this replica must not run then. */
  async rollForward(): Promise<{ committed: number; loaded: number; waitedMs: number }> {
    // With READY held the engine has everything and runs: it may take over before the first interval begins.
    if (!this.#started && this.#phase !== 'readyHeld') {
      throw new Error(`memory stream: nothing to take over: protection had not begun (phase '${this.#phase}')`);
    }
    if (this.#accepting) this.#tellEnd('channel', 'the secondary takes over');
    this.#accepting = false;
    this.#incoming.dropCollected();
    const rolled = await this.#point.rollForward();
    this.#setPhase('ended');
    return rolled;
  }

  /** The engine sees the end of its migration stream; what it still says is read and dropped. */
  detach(): void {
    this.#accepting = false;
    this.#detached = true;
    this.#engine?.end();
  }

  async close(): Promise<void> {
    if (this.#accepting && this.#phase !== 'ended') this.#tellEnd('engine', 'the secondary stopped the protection');
    this.#accepting = false;
    this.#phase = 'ended';
    this.#engine?.destroy();
    this.#point.changed();
  }

  #begin(message: { session: number; version: number }): void {
    if (this.#phase !== 'listening') {
      this.lose('channel', 'the primary began another session');
      return;
    }
    this.#session = message.session;
    if (message.version !== MEMORY_STREAM_VERSION) {
      const versions = `version ${message.version} of the memory stream, this side ${MEMORY_STREAM_VERSION}`;
      this.lose('protocol', `the primary speaks ${versions}: install the same release on both CoServers`);
      return;
    }
    this.#setPhase('precopy');
    connectEngine(this.#options.socketPath, {
      isWanted: () => this.#phase !== 'ended',
      connected: (engine) => this.#onEngineConnected(engine),
      failed: (reason) => this.lose('engine', reason),
      nowMs: this.#around.nowMs,
    });
  }

  #onReleased(): void {
    if (this.#phase !== 'readyHeld') {
      this.lose('protocol', `READY released in phase '${this.#phase}'`);
      return;
    }
    this.#started = true;
    this.#around.interval.current = 1;
    this.#setPhase('running');
    this.#around.emit('started', { interval: 1 });
  }

  #onEngineConnected(engine: Socket): void {
    this.#engine = engine;
    engine.on('data', (chunk: Buffer) => this.#guard(() => this.#return.feed(chunk)));
    engine.on('close', () => this.#onEngineClosed());
    this.#incoming.release(engine);
  }

  #onEngineClosed(): void {
    this.#point.changed();
    if (!this.#detached) this.lose('engine', "the secondary's engine closed the migration");
  }

  #onForwardEvent(event: ForwardEvent): void {
    this.#around.seen?.(event);
    switch (event.kind) {
      case 'memory':
        this.#incoming.memoryBytes = event.totalBytes;
        return;
      case 'request':
        this.#requested++;
        this.#setPhase('checkpoint');
        return;
      case 'deviceState':
        return;
      case 'sendBegin':
        if (this.#point.isCommitting) throw new Error('a checkpoint before the one before was loaded');
        this.#incoming.collect();
        return;
      case 'checkpointEnd': {
        const collected = this.#incoming.takeCollected();
        // The source times by it how fast checkpoints arrive.
        this.#incoming.report();
        this.#commit(collected);
        return;
      }
      default:
        event satisfies never;
    }
  }

  #commit(checkpoint: Buffer[]): void {
    const interval = this.#point.committed + 1;
    this.#incoming.hold();
    void this.#point.commit({
      owned: () => {
        if (this.#accepting && this.#session !== undefined) this.#around.send({ kind: 'committed', session: this.#session, interval });
        this.#around.emit('committed', { interval });
      },
      load: () => {
        this.#watch?.loading(interval);
        this.#writeCheckpoint(checkpoint);
        this.#incoming.release(this.#engine);
      },
      failed: (reason) => this.lose('protocol', reason),
    });
  }

  #writeCheckpoint(checkpoint: Buffer[]): void {
    this.#engine?.cork();
    for (const part of checkpoint) this.#engine?.write(part);
    this.#engine?.uncork();
  }

  /** The guest has shut down at the primary: its last interval has no checkpoint, only disk writes and output. */
  async #commitFinal(interval: number): Promise<void> {
    const final = await this.#point.commitFinal(
      interval,
      () => this.#started,
      () => {
        this.#accepting = false;
        this.#incoming.dropCollected();
      },
    );
    if (final.kind === 'refused') {
      this.#tellEnd('protocol', final.reason);
      return;
    }
    if (final.isNew) this.#around.emit('committed', { interval });
    if (this.#session !== undefined) this.#around.send({ kind: 'committed', session: this.#session, interval });
  }

  #onReturnMessage(message: ReturnMessage, bytes: Buffer): void {
    switch (message) {
      case 'ready':
        this.#forward.enterCheckpoints();
        void this.#onReady(bytes);
        return;
      case 'loaded': {
        const loaded = this.#point.engineLoaded();
        this.#watch?.loaded(loaded);
        this.#around.interval.current = loaded + 1;
        this.#around.commitOutput(loaded).catch((error) => this.lose('protocol', `the gate: ${(error as Error).message}`));
        this.#relay(bytes);
        if (this.#requested === loaded) this.#setPhase('running');
        this.#point.changed();
        return;
      }
      case 'reply':
        void this.#onReply(bytes);
        return;
      case 'received':
        this.#watch?.received();
        this.#relay(bytes);
        return;
      case 'preamble':
        this.#relay(bytes);
        return;
      default:
        message satisfies never;
    }
  }

  /** Where the replica's output is compared, nobody may call it protected before the gate knows what it is to be compared with. */
  async #onReady(bytes: Buffer): Promise<void> {
    // The parser's buffer is used again.
    const own = Buffer.from(bytes);
    try {
      await this.#around.ready?.();
    } catch (error) {
      this.lose('protocol', `the gate cannot feed the replica: ${(error as Error).message}`);
      return;
    }
    if (!this.#accepting) return;
    this.#relay(own);
    this.#setPhase('readyHeld');
    this.#around.emit('readyHeld', { role: 'target' });
  }

  /** The replica is stopped and drained. Where its output is compared, the gate cuts it before anything else happens to the replica. */
  async #onReply(bytes: Buffer): Promise<void> {
    if (this.#around.replied) {
      // The parser's buffer is used again.
      const own = Buffer.from(bytes);
      try {
        await this.#around.replied(this.#point.replied + 1);
      } catch (error) {
        this.lose('protocol', `the gate did not cut the replica's output: ${(error as Error).message}`);
        return;
      }
      this.#point.engineReplied();
      this.#relay(own);
    } else {
      this.#point.engineReplied();
      this.#relay(bytes);
    }
    if (this.#phase !== 'ended') this.#watch?.stopped(this.#point.replied);
    this.#point.changed();
  }

  #relay(bytes: Buffer): void {
    if (this.#accepting && this.#session !== undefined) this.#around.send({ kind: 'data', session: this.#session, bytes });
  }

  #reportConsumed(bytes: number): void {
    if (this.#accepting && this.#session !== undefined) this.#around.send({ kind: 'consumed', session: this.#session, bytes });
  }

  #guard(parse: () => void): void {
    // After a detach the engine may say anything; after rollForward began only LOADED still matters.
    if (this.#detached) return;
    try {
      parse();
    } catch (error) {
      this.lose('protocol', (error as Error).message);
    }
  }

  #tellEnd(cause: LossCause, reason: string): void {
    if (this.#session !== undefined) this.#around.send({ kind: 'end', session: this.#session, cause, reason });
  }

  #setPhase(phase: MemoryPhase): void {
    if (this.#phase === phase || this.#phase === 'ended') return;
    this.#phase = phase;
    this.#around.emit('phase', { role: 'target', phase });
  }

  #finish(cause: LossCause, reason: string, byPartner = false): void {
    if (this.#phase === 'ended') return;
    this.#accepting = false;
    this.#incoming.dropCollected();
    this.#setPhase('ended');
    this.#around.emit('lost', { role: 'target', reason, cause, byPartner });
  }
}
