// The primary's side of the memory stream: reads the engine's migration socket and sends it over the link. When the engine may go on
// after a checkpoint is decided in checkpoint-order.ts.
//
//   listening -> precopy -> readyHeld -> running <-> checkpoint -> ended
import { rm } from 'node:fs/promises';
import net from 'node:net';
import type { MemoryPhase, MemoryStatus } from './api.ts';
import type { SourceAudit } from './audit/source-audit.ts';
import { CheckpointOrder } from './checkpoint-order.ts';
import { type ForwardEvent, ForwardParser } from './codec.ts';
import { EngineWindow } from './engine-window.ts';
import { FinalCommit } from './final-commit.ts';
import { type LossCause, MEMORY_STREAM_VERSION, type MemoryMessage } from './messages.ts';
import { Outgoing } from './outgoing.ts';
import { type ReturnMessage, ReturnParser } from './return-codec.ts';
import { GUEST_RAM_BLOCK, type Session, type SessionSurroundings } from './session.ts';

export interface SourceOptions {
  socketPath: string;
  session: number;
  /** The engine goes on after a checkpoint as soon as it is handed over, not only when the secondary has loaded it. */
  earlyAcknowledge: boolean;
  /** Null: nobody can read the guest's RAM. */
  audit: SourceAudit | null;
}

export class SourceSession implements Session {
  readonly role = 'source';
  readonly #around: SessionSurroundings;
  readonly #options: SourceOptions;
  readonly #forward: ForwardParser;
  readonly #outgoing: Outgoing;
  readonly #return: ReturnParser;
  #server: net.Server | undefined;
  #engine: net.Socket | undefined;
  #phase: MemoryPhase = 'listening';
  #ready: Uint8Array | undefined;
  readonly #order: CheckpointOrder;
  readonly #window: EngineWindow;
  #lostCause: LossCause | undefined;
  #final: FinalCommit | undefined;
  /** `pageDiffers` was said. */
  #differs = false;

  constructor(around: SessionSurroundings, options: SourceOptions) {
    this.#around = around;
    this.#options = options;
    this.#window = new EngineWindow(around.nowMs);
    this.#order = new CheckpointOrder(options.earlyAcknowledge, around, {
      toEngine: (words) => this.#engine?.write(words),
      resumes: () => this.#setPhase('running'),
      lose: (cause, reason) => this.lose(cause, reason),
      hasEnded: () => this.#phase === 'ended',
    });
    const { audit } = options;
    this.#outgoing = new Outgoing(options.session, {
      send: (message) => this.#sendNow(message),
      failed: (reason) => this.lose('protocol', reason),
      nowMs: around.nowMs,
    });
    this.#forward = new ForwardParser({
      bytes: (b) => this.#sendData(b),
      event: (e) => this.#onForwardEvent(e),
      pages: {
        summedBlock: audit ? GUEST_RAM_BLOCK : null,
        begins: (offset, page, block) => this.#outgoing.page(offset, block.firstPage + page),
        passed: (page, crc) => audit?.sent(page, crc, this.#order.inWork?.interval ?? 0),
      },
      deviceState: (offset) => this.#outgoing.deviceState(offset),
    });
    this.#return = new ReturnParser((message, bytes) => this.#onReturnMessage(message, bytes));
  }

  get phase(): MemoryPhase {
    return this.#phase;
  }
  get committed(): number {
    return this.#order.committed;
  }
  get loaded(): number {
    return this.#order.loaded;
  }
  get checkpoints(): number {
    return this.#order.checkpoints;
  }
  get transferredBytes(): number {
    return this.#window.sentBytes;
  }
  get audit(): MemoryStatus['audit'] {
    return this.#options.audit?.status ?? null;
  }

  /** Throws when the socket cannot be made, naming it. */
  async listen(): Promise<void> {
    await rm(this.#options.socketPath, { force: true });
    const server = net.createServer((socket) => this.#accept(socket));
    server.maxConnections = 1;
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(new Error(`memory stream: cannot listen on ${this.#options.socketPath}: ${error.message}`)));
      server.listen(this.#options.socketPath, resolve);
    });
    this.#around.emit('phase', { role: 'source', phase: 'listening' });
  }

  /** Interval 1 begins; the partner is told; the engine gets READY. Throws unless READY is held. */
  releaseReady(): void {
    const ready = this.#ready;
    if (this.#phase !== 'readyHeld' || !ready) throw new Error(`memory stream: READY is not held, the phase is '${this.#phase}'`);
    this.#ready = undefined;
    this.#forward.enterCheckpoints();
    this.#outgoing.end();
    this.#around.interval.current = 1;
    this.#outgoing.send({ kind: 'released', session: this.#options.session });
    this.#setPhase('running');
    this.#engine?.write(ready);
  }

  /** See MemoryCommands.commitFinal. Throws when the session did not end by the engine, or the partner refuses or is lost. */
  async commitFinal(): Promise<{ committed: number }> {
    const interval = this.#around.interval.current;
    if (this.#lostCause !== 'engine' || interval === 0) {
      throw new Error(
        `memory stream: no final interval to commit: ${this.#lostCause ? `lost by '${this.#lostCause}'` : 'the session has not ended'}`,
      );
    }
    if (this.#final) throw new Error('memory stream: the final interval is being committed already');
    await this.#around.cut(interval);
    const final = new FinalCommit(interval);
    this.#final = final;
    this.#outgoing.send({ kind: 'final', session: this.#options.session, interval });
    try {
      await final.committed();
    } finally {
      this.#final = undefined;
    }
    await this.#order.commitFinal(interval);
    return { committed: interval };
  }

  onMessage(message: MemoryMessage): void {
    if (this.#final && message.session === this.#options.session) {
      this.#final.onMessage(message);
      return;
    }
    if (this.#phase === 'ended' || this.#phase === 'listening' || message.session !== this.#options.session) return;
    switch (message.kind) {
      case 'data':
        this.#guard(() => this.#return.feed(message.bytes));
        return;
      case 'committed':
        this.#order.onCommitted(message.interval);
        return;
      case 'consumed':
        this.#onConsumed(message.bytes);
        return;
      case 'end':
        this.#finish(message.cause, `the partner ended the session: ${message.reason}`, true);
        return;
      case 'begin':
      case 'packed':
      case 'final':
      case 'released':
        this.lose('protocol', `message '${message.kind}' from the secondary`);
        return;
      default:
        message satisfies never;
    }
  }

  onDrain(): void {
    this.#window.channelDrained();
  }

  lose(cause: LossCause, reason: string): void {
    this.#final?.fail(reason);
    if (this.#phase === 'ended') return;
    if (cause !== 'channel' && this.#phase !== 'listening') {
      this.#outgoing.send({ kind: 'end', session: this.#options.session, cause, reason });
    }
    this.#finish(cause, reason);
  }

  async close(): Promise<void> {
    this.#final?.fail('stopped');
    if (this.#phase !== 'ended' && this.#phase !== 'listening') {
      this.#outgoing.send({ kind: 'end', session: this.#options.session, cause: 'stopped', reason: 'the primary stopped the protection' });
    }
    this.#phase = 'ended';
    this.#order.end();
    this.#engine?.destroy();
    this.#server?.close();
    await rm(this.#options.socketPath, { force: true });
  }

  #accept(socket: net.Socket): void {
    if (this.#phase !== 'listening') {
      socket.destroy();
      return;
    }
    this.#server?.close();
    this.#engine = socket;
    this.#window.begin(socket);
    this.#outgoing.send({ kind: 'begin', session: this.#options.session, version: MEMORY_STREAM_VERSION });
    this.#setPhase('precopy');
    socket.on('data', (chunk: Buffer) => this.#guard(() => this.#forward.feed(chunk)));
    // 'close' follows; QEMU's way of leaving is often a reset connection.
    socket.on('error', () => {});
    socket.on('close', () => this.lose('engine', "the primary's engine closed the migration"));
  }

  #onForwardEvent(event: ForwardEvent): void {
    this.#around.seen?.(event);
    switch (event.kind) {
      case 'memory':
      case 'deviceState':
        return;
      case 'request': {
        const checkpoint = this.#order.begin();
        checkpoint.sentBytes = this.#outgoing.linkBytes;
        this.#setPhase('checkpoint');
        this.#order.stop(checkpoint);
        return;
      }
      case 'sendBegin': {
        const checkpoint = this.#order.inWork;
        if (!checkpoint) return;
        checkpoint.stoppedMs = this.#around.nowMs();
        this.#outgoing.beginCheckpoint();
        this.#order.stopped(checkpoint);
        // After `cut` was asked for: the gate is at work meanwhile.
        this.#options.audit?.stopped();
        return;
      }
      case 'checkpointEnd': {
        const checkpoint = this.#order.inWork;
        if (!checkpoint) return;
        this.#outgoing.end();
        this.#outgoing.after(() => {
          checkpoint.sentBytes = this.#outgoing.linkBytes - checkpoint.sentBytes;
        });
        checkpoint.pages = event.pages;
        checkpoint.bytes = event.bytes;
        checkpoint.deviceStateBytes = event.deviceStateBytes;
        this.#order.complete(checkpoint);
        this.#judge(checkpoint.interval);
        return;
      }
      default:
        event satisfies never;
    }
  }

  #judge(interval: number): void {
    const difference = this.#options.audit?.judge(interval);
    if (!difference || this.#differs) return;
    this.#differs = true;
    this.#around.emit('pageDiffers', difference);
  }

  #onConsumed(bytes: number): void {
    if (bytes > this.#window.sentBytes) {
      this.lose('protocol', `the partner consumed ${bytes} of ${this.#window.sentBytes} bytes`);
      return;
    }
    this.#order.onProgress();
    this.#outgoing.arrived(bytes);
    this.#window.consumed(bytes);
  }

  #onReturnMessage(message: ReturnMessage, bytes: Buffer): void {
    switch (message) {
      case 'preamble':
        this.#engine?.write(bytes);
        return;
      case 'reply':
        this.#order.onReplied();
        // In order with `cut`, which follows; nobody waits for it.
        this.#around.replied?.(this.#order.inWork?.interval ?? this.#around.interval.current).catch((error) => {
          this.lose('protocol', `the gate: ${(error as Error).message}`);
        });
        if (!this.#options.earlyAcknowledge) this.#engine?.write(bytes);
        return;
      case 'ready':
        this.#ready = bytes;
        // The guest stands still until READY goes on: what a live synchronisation lost shows now.
        this.#options.audit?.stopped();
        this.#judge(0);
        this.#setPhase('readyHeld');
        this.#around.emit('readyHeld', { role: 'source' });
        return;
      case 'received':
        if (!this.#options.earlyAcknowledge) this.#engine?.write(bytes);
        return;
      case 'loaded':
        this.#order.onLoaded();
        return;
      default:
        message satisfies never;
    }
  }

  #sendData(bytes: Buffer): void {
    this.#window.sending(bytes.length);
    if (this.#phase === 'precopy') this.#outgoing.feedSynchronisation(bytes);
    else this.#outgoing.feed(bytes);
    this.#window.throttle();
    if (this.#phase !== 'precopy') return;
    const progress = this.#window.progress();
    if (progress) this.#around.emit('progress', progress);
  }

  #sendNow(message: MemoryMessage): void {
    if (!this.#around.send(message)) this.#window.channelIsFull();
  }

  #guard(parse: () => void): void {
    if (this.#phase === 'ended') return;
    try {
      parse();
    } catch (error) {
      this.lose('protocol', (error as Error).message);
    }
  }

  #setPhase(phase: MemoryPhase): void {
    if (this.#phase === phase) return;
    this.#phase = phase;
    this.#around.emit('phase', { role: 'source', phase });
  }

  #finish(cause: LossCause, reason: string, byPartner = false): void {
    if (this.#phase === 'ended') return;
    this.#lostCause = cause;
    // The next session's channel begins empty; an end by the engine follows what was read before it.
    if (cause === 'channel') this.#outgoing.drop();
    this.#setPhase('ended');
    this.#order.end();
    this.#server?.close();
    this.#around.emit('lost', { role: 'source', reason, cause, byPartner });
  }
}
