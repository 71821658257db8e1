// What the two sides of the memory stream share: their surroundings, and the limits they both keep to.
import type { IntervalCounter } from '../wire/interval.ts';
import type { MemoryEvents, MemoryPhase, MemoryStatus } from './api.ts';
import { type ForwardEvent, MAX_DEVICE_STATE_BYTES, PAGE_BYTES } from './codec.ts';
import type { LossCause, MemoryMessage } from './messages.ts';

/**
 * Forward bytes under way between the two engines before the source stops reading its engine. Small: QEMU estimates from the
 * rate at which it is read how long the last, stopped round would take; what is queued here would be added to the pause.
 */
export const SYNCHRONISATION_WINDOW_BYTES = 4 * 1024 * 1024;
/** The target reports what it consumed in steps of this: small against the window, large against a message. */
export const CONSUMED_STEP_BYTES = 256 * 1024;

/** The guest's RAM in the stream: the block whose pages are audited (the engine's command line gives it this name). */
export const GUEST_RAM_BLOCK = 'pc.ram';

/** Record heads (mostly 8 bytes, seldom with a block's name) beside the pages. */
const RECORD_HEAD_BYTES = 32;

/** What a checkpoint may have: every page once, and the largest device state. */
export function checkpointLimitBytes(memoryBytes: number): number {
  return Math.ceil(memoryBytes / PAGE_BYTES) * (PAGE_BYTES + RECORD_HEAD_BYTES) + MAX_DEVICE_STATE_BYTES;
}

/** Given to a session by the worker; all of it can be replaced in a test. */
export interface SessionSurroundings {
  interval: IntervalCounter;
  /** False: wait for `onDrain`. */
  send(message: MemoryMessage): boolean;
  emit<K extends keyof MemoryEvents & string>(name: K, data: MemoryEvents[K]): void;
  /** Answers when the gate has read everything the stopped guest sent in this interval. */
  cut(interval: number): Promise<unknown>;
  /** Lockstep: REPLY passes; the answer comes when the replica's output is cut. Null: nothing is compared. */
  replied: ((interval: number) => Promise<unknown>) | null;
  /** Lockstep, target: READY would pass; the answer comes when the gate can feed the replica. */
  ready: (() => Promise<unknown>) | null;
  /** Source: the partner owns the interval. Target: the engine has loaded it. */
  commitOutput(interval: number): Promise<unknown>;
  /** Target: the mirror makes the interval durable / applies it. */
  decide(interval: number): Promise<unknown>;
  apply(interval: number): Promise<unknown>;
  nowMs(): number;
  /** Of MemorySetup. Default: 1. */
  slowness?: number;
  /** In the lab only: told of every boundary of the stream before anything is done about it. */
  seen?: (event: ForwardEvent) => void;
}

/** One session: from startSource / startTarget to stop. */
export interface Session {
  readonly role: 'source' | 'target';
  readonly phase: MemoryPhase;
  readonly committed: number;
  readonly loaded: number;
  readonly checkpoints: number;
  readonly transferredBytes: number;
  readonly audit: MemoryStatus['audit'];
  onMessage(message: MemoryMessage): void;
  onDrain(): void;
  /** The session ended by itself: reported once; the engine's socket is left as it is (see README.md: takeover). */
  lose(cause: LossCause, reason: string): void;
  /** Sockets closed, the partner told. */
  close(): Promise<void>;
}
