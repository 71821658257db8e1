// What the memory stream's worker thread is asked and what it reports: QEMU's checkpoint stream, proxied over the links.
import type { ChannelSetup } from '../wire/channel-setup.ts';
import type { GuestMemory } from './audit/guest-ram.ts';
import type { PageDifference } from './audit/suspects.ts';
import type { LossCause } from './messages.ts';
import type { PowerTrapSetup } from './power-trap.ts';

export interface MemorySetup {
  channel: ChannelSetup;
  interval: SharedArrayBuffer;
  /** The primary's engine connects here (`migrate unix:`). */
  sourceSocketPath: string;
  /** The secondary's engine listens here (`migrate-incoming unix:`). */
  incomingSocketPath: string;
  /**
   * Primary: the engine stops without waiting for the secondary, and goes on as soon as a checkpoint is handed over and the gate has
   * cut, not only when the secondary has loaded it. Correct while all output is held until the commit (passive mode). Default: true.
   */
  earlyAcknowledge?: boolean;
  /**
   * The replica runs on inputs of its own and is compared: the gate is told when READY and REPLY pass, and nothing is acknowledged early
   * (the replica's words are compared up to REPLY, and anew from LOADED on). Default: false.
   */
  lockstep?: boolean;
  /** How many times longer than usual an engine and a thread of this machine may take. Default: 1. */
  slowness?: number;
  /** In the lab only: lets a power failure fall at a chosen point of a checkpoint. */
  powerTrap?: PowerTrapSetup;
}

export interface SessionStart {
  /** This side's engine's RAM: it is audited then. Throws when it cannot be read. */
  guestMemory?: GuestMemory;
  /** How long pages are read and compared at each stop, ms: for tests. Default: 1 (primary), 4 (secondary). */
  sampleMs?: number;
}

export type MemoryCommands = {
  /** Primary: listens for the engine's migration. Ends an earlier session. */
  startSource(a: SessionStart): Promise<void>;
  /** Secondary: connects to the engine's incoming socket when the stream begins. Ends an earlier session. */
  startTarget(a: SessionStart): Promise<void>;
  /** Primary: READY is held until this call: sets interval 1, tells the partner, passes READY on. The first checkpoint may follow. */
  releaseReady(a: Record<string, never>): Promise<void>;
  /**
   * Primary, after the guest shut itself down (QMP SHUTDOWN, then `lost` with cause 'engine'): makes the last interval, which no
   * checkpoint will cover, durable on the partner's disk and lets its output go. The secondary's engine is of no use afterwards.
   */
  commitFinal(a: Record<string, never>): Promise<{ committed: number }>;
  /** Secondary, takeover: answers when no committed checkpoint waits to be loaded. Nothing further is accepted from the partner. */
  rollForward(a: Record<string, never>): Promise<{ committed: number; loaded: number; waitedMs: number }>;
  /** Secondary, takeover: half-closes the engine's migration socket (its return path is still read). */
  detach(a: Record<string, never>): Promise<void>;
  /** Ends the session on this side: sockets closed, interval 0. */
  stop(a: Record<string, never>): Promise<void>;
  linkVerdict(a: { link: number; up: boolean }): void;
  status(a: Record<string, never>): MemoryStatus;
};

export type MemoryPhase = 'idle' | 'listening' | 'precopy' | 'readyHeld' | 'running' | 'checkpoint' | 'ended';

export interface MemoryStatus {
  role: 'none' | 'source' | 'target';
  phase: MemoryPhase;
  /** Last committed and last loaded interval. */
  committed: number;
  loaded: number;
  checkpoints: number;
  transferredBytes: number;
  /** Pages compared in this session (a page counts each time), the guest's pages, and how often one differed. Null: not audited. */
  audit: { checkedPages: number; totalPages: number; differing: number } | null;
}

export interface CheckpointReport {
  interval: number;
  /** ms from REQUEST to LOADED, the guest's pause as the primary saw it (VMSTATE_SEND to LOADED), and REQUEST to commit. */
  totalMs: number;
  pauseMs: number;
  commitMs: number;
  /** What the engine gave, and what of it was sent over the links: compressed, where that is faster. */
  bytes: number;
  sentBytes: number;
  pages: number;
  deviceStateBytes: number;
}

export type MemoryEvents = {
  phase: { role: 'source' | 'target'; phase: MemoryPhase };
  progress: { transferredBytes: number; rateBytesPerS: number };
  /** The secondary has loaded everything and waits: READY is held at the primary until `releaseReady`. */
  readyHeld: { role: 'source' | 'target' };
  /** Secondary: READY was released by the primary: intervals start. */
  started: { interval: number };
  checkpoint: CheckpointReport;
  /** Secondary: interval n committed. */
  committed: { interval: number };
  /** The session ended by itself: engine closed, stream unknown ("flag 0x.. at offset .."), channel reset. */
  /** `byPartner`: the cause lies there. engine: the engine left; stalled: an answer did not come; stopped: ended on purpose. */
  lost: { role: 'source' | 'target'; reason: string; cause: LossCause; byPartner: boolean };
  /**
   * The engine lost a page, said at most once per session. Primary: its RAM is not what was sent (a write was not noticed). Secondary: the
   * replica's RAM stays what was not sent. What the secondary has is not the guest: protect again.
   */
  pageDiffers: PageDifference;
  status: MemoryStatus;
};
