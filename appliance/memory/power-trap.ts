// The lab's tripwire: stops this process at a chosen point of a checkpoint, so that the lab's power failure falls exactly there.
//
//   lab: trap-A.json {"point", "share", "delayMs"} -> armed -> the point passes -> trap-A.hit written, all threads stopped (SIGSTOP)
//                                                                -> the lab takes power and cables away
//
// Made only when the configuration names a lab's socket (`labSocket`), in whose folder the files are: elsewhere nothing of this
// exists, and the stream runs on its plain surroundings.
import { readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ForwardEvent } from './codec.ts';
import type { MemoryMessage } from './messages.ts';
import type { SessionSurroundings } from './session.ts';

/** In the order of a checkpoint; on which side they pass when is in README.md. */
export const TRAP_POINTS = ['request', 'reply', 'pages', 'deviceState', 'received', 'commit', 'loaded'] as const;
export type TrapPoint = (typeof TRAP_POINTS)[number];

export interface PowerTrapSetup {
  /** The folder of the lab's socket. */
  folder: string;
  coServer: 'A' | 'B';
}

export interface TrapOrder {
  point: TrapPoint;
  /** 0..1: which byte of the pages or of the device state; before (< 0.5) or after the partner is told, where a point has both. */
  share: number;
  /** The stream's thread stands still for this long before all others do: they act on what they were told meanwhile. */
  delayMs: number;
}

/** Longer than any schedule of a busy machine would hold a thread. */
const MAX_DELAY_MS = 100;
/** Bytes of pages that a checkpoint is expected to have as long as none was seen. */
const FIRST_PAGES_BYTES = 100_000;

/** Throws with what is wrong. */
export function parseTrapOrder(text: string): TrapOrder {
  const value: Partial<Record<keyof TrapOrder, unknown>> = JSON.parse(text);
  const { share, delayMs } = value;
  const point = TRAP_POINTS.find((p) => p === value.point);
  if (point === undefined) throw new Error(`point ${JSON.stringify(value.point)}: one of ${TRAP_POINTS.join(', ')} is needed`);
  if (typeof share !== 'number' || !(share >= 0 && share < 1)) throw new Error(`share ${share}: 0 to 1 is needed`);
  if (typeof delayMs !== 'number' || !(delayMs >= 0 && delayMs <= MAX_DELAY_MS))
    throw new Error(`delayMs ${delayMs}: 0 to ${MAX_DELAY_MS} is needed`);
  return { point, share, delayMs };
}

/** Stops the calling thread, then every thread of the process. What continues it is the lab's business. */
function stopProcess(delayMs: number): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  if (delayMs > 0) Atomics.wait(nobody, 0, 0, delayMs);
  process.kill(process.pid, 'SIGSTOP');
  // The signal may be taken by another thread first: this one must not go on meanwhile.
  Atomics.wait(nobody, 0, 0, 1000);
}

export class PowerTrap {
  readonly #setup: PowerTrapSetup;
  readonly #stop: (delayMs: number) => void;
  #order: TrapOrder | null = null;
  #isTarget: () => boolean = () => false;
  /** REQUEST has passed, its REPLY has not. */
  #awaitsReply = false;
  #counting: 'pages' | 'deviceState' | null = null;
  /** Bytes of the part that is being counted, and after how many the trap falls. */
  #passed = 0;
  #limit = Number.POSITIVE_INFINITY;
  #pagesBytes = FIRST_PAGES_BYTES;

  /** @param stop Another one in tests. */
  constructor(setup: PowerTrapSetup, stop: (delayMs: number) => void = stopProcess) {
    this.#setup = setup;
    this.#stop = stop;
    const name = `trap-${setup.coServer}.json`;
    watch(setup.folder, { persistent: false }, (_, file) => file === name && this.#read());
    this.#read();
  }

  get isArmed(): boolean {
    return this.#order !== null;
  }

  #path(ending: 'json' | 'hit'): string {
    return join(this.#setup.folder, `trap-${this.#setup.coServer}.${ending}`);
  }

  #read(): void {
    let text: string;
    try {
      text = readFileSync(this.#path('json'), 'utf8');
    } catch {
      this.#order = null;
      return;
    }
    try {
      this.#order = parseTrapOrder(text);
    } catch (error) {
      this.#order = null;
      process.stderr.write(`power trap: ${this.#path('json')}: ${(error as Error).message}\n`);
    }
  }

  #fall(): void {
    const order = this.#order;
    if (order === null) return;
    this.#order = null;
    rmSync(this.#path('json'), { force: true });
    const byte = this.#counting === null ? null : Math.min(this.#passed, this.#limit);
    writeFileSync(this.#path('hit'), JSON.stringify({ ...order, byte, at: Date.now() + order.delayMs }));
    this.#stop(order.delayMs);
  }

  #at(point: TrapPoint, half: 'before' | 'after' | null = null): void {
    const order = this.#order;
    if (order?.point !== point) return;
    if (half === null || half === (order.share < 0.5 ? 'before' : 'after')) this.#fall();
  }

  #count(part: 'pages' | 'deviceState', bytes: number): void {
    this.#counting = part;
    this.#passed = 0;
    this.#limit = this.#order?.point === part ? Math.floor(this.#order.share * bytes) : Number.POSITIVE_INFINITY;
  }

  #seen(event: ForwardEvent): void {
    switch (event.kind) {
      case 'memory':
        return;
      case 'request':
        this.#at('request');
        this.#awaitsReply = true;
        return;
      case 'sendBegin':
        this.#count('pages', this.#pagesBytes);
        return;
      case 'deviceState':
        // Fewer pages than expected: their end is the place.
        if (this.#counting === 'pages') this.#pagesBytes = this.#passed;
        this.#at('pages');
        this.#count('deviceState', event.bytes);
        return;
      case 'checkpointEnd':
        this.#at('deviceState');
        this.#counting = null;
        this.#at('received');
        return;
      default:
        event satisfies never;
    }
  }

  /** Before a message of the partner is taken. */
  incoming(message: MemoryMessage): void {
    if (message.kind === 'packed') this.#passing(message.batch.length);
    if (message.kind !== 'data') return;
    if (this.#isTarget()) this.#passing(message.bytes.length);
    else this.#replyPasses();
  }

  /** The first word that goes back after REQUEST. */
  #replyPasses(): void {
    if (!this.#awaitsReply) return;
    this.#awaitsReply = false;
    this.#at('reply');
  }

  /** Bytes of the part that is being counted. */
  #passing(bytes: number): void {
    if (this.#counting === null) return;
    const falls = this.#fallsWithin(bytes);
    this.#passed += bytes;
    if (falls) this.#fall();
  }

  #fallsWithin(bytes: number): boolean {
    return this.#counting !== null && this.#order?.point === this.#counting && this.#passed + bytes > this.#limit;
  }

  /** @param role Of the session that runs. */
  around(plain: SessionSurroundings, role: () => 'source' | 'target' | undefined): SessionSurroundings {
    this.#isTarget = () => role() === 'target';
    return {
      ...plain,
      seen: (event) => this.#seen(event),
      send: (message) => this.#send(message, plain),
      emit: (name, data) => {
        plain.emit(name, data);
        if (name === 'checkpoint') this.#at('loaded');
      },
      commitOutput: (interval) => {
        const told = plain.commitOutput(interval);
        this.#at(this.#isTarget() ? 'loaded' : 'commit');
        return told;
      },
    };
  }

  #send(message: MemoryMessage, plain: SessionSurroundings): boolean {
    if (message.kind === 'committed') {
      this.#at('commit', 'before');
      const sent = plain.send(message);
      this.#at('commit', 'after');
      return sent;
    }
    if (message.kind === 'packed') {
      // A batch arrives whole or not at all: it is not sent. Batches are packed beside the parser, so that late ones fall at the part's end.
      const size = message.batch.length + (message.compressed?.length ?? 0);
      const falls = this.#fallsWithin(size);
      this.#passing(size);
      return falls ? false : plain.send(message);
    }
    if (message.kind !== 'data') return plain.send(message);
    if (this.#isTarget()) {
      const sent = plain.send(message);
      this.#replyPasses();
      return sent;
    }
    // Not one byte more than was asked for.
    const most = this.#limit - this.#passed;
    const falls = this.#fallsWithin(message.bytes.length);
    if (falls && most > 0) plain.send({ ...message, bytes: message.bytes.subarray(0, most) });
    this.#passing(message.bytes.length);
    return falls ? false : plain.send(message);
  }
}
