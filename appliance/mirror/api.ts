// What the mirror's worker thread is asked and what it reports. Offsets and sizes in bytes.
import type { StoreCache } from '../../drivers/block/index.ts';
import type { ScrubView } from '../core/snapshot.ts';
import type { ChannelSetup } from '../wire/channel-setup.ts';
import type { PointCommands, PointEvents, PointsSetup } from './restore-points/api.ts';

export type { PointStatus, PointsSetup, PointsStatus } from './restore-points/api.ts';

export interface MirrorSetup {
  channel: ChannelSetup;
  interval: SharedArrayBuffer;
  /** The guest's disk: a file or a block device. Created (sparse, of sizeBytes) when it is a missing file. */
  diskPath: string;
  sizeBytes: number;
  /** Of the guest's disk. Default: buffered. */
  cache?: StoreCache;
  /** Every write of the guest ends only when it is in stable storage, here and at the partner: as if it had FUA. Default: false. */
  isWriteThrough?: boolean;
  /** The durable journal of checkpoint intervals. */
  journalPath: string;
  /** Which pair the disk belongs to, over changes of its key: hex. Without it, its key says. */
  pairId?: string;
  /** Unix socket of the NBD export named `disk0`. */
  socketPath: string;
  /** Missing: beside the disk, with the defaults. */
  points?: PointsSetup;
  /** A request that the disk does not answer for so long: it has failed. Default: disk-stack.ts. */
  timeoutMs?: number;
  /** A write of the guest that the partner does not acknowledge for so long: it is lost. Default: joining.ts. */
  acknowledgeMs?: number;
  /** Of the comparison of both copies. everyHours 0: only when asked for. Default: open-copy.ts. */
  scrub?: { rateBytesPerS: number; everyHours: number; settleMs?: number };
  /** An engine that outlived the last process tries to reach the export, more seldom each time: it may connect at once, and waits. */
  isAwaited?: boolean;
}

/** Code of the error of a disk that is not used: another's, unknown, missing. */
export const DISK_REFUSED = 'DISK_REFUSED';

/**
 * Modes of the local copy:
 *  closed   no export; nothing is served (start state, and after `close`)
 *  solo     the guest runs here; writes go to this copy only
 *  source   the guest runs here; every write also goes to the partner, acknowledged when both have it
 *  target   the partner is the source and this copy is being made equal: inconsistent, no export
 *  replica  this copy equals the partner's last commit; the partner's writes are journaled by interval, the export
 *           serves the secondary replica's guest through a private overlay
 */
export type MirrorMode = 'closed' | 'solo' | 'source' | 'target' | 'replica';

export type MirrorCommands = PointCommands & {
  /**
   * Opens disk and journal. A journal left by a crash is replayed, all of it; after a takeover what the partner had not committed is discarded.
   * serves: the guest has run here before and is to run from this copy: then a disk that is not known is refused (own-record.ts).
   * committed: the last commit the journal tells of (0: all was written back); replayed, discarded: bytes; notes: what the
   * operator should know of the disk, in words.
   */
  open(a: { serves?: boolean }): Promise<{ committed: number; replayed: number; discarded: number; notes: string[] }>;
  /** closed: the disk that is there is this pair's from now on, whatever was recorded of it; its journal is given up. */
  adopt(a: Record<string, never>): Promise<void>;
  /** closed -> solo: export served. Refused for a copy that was being made equal and is not whole. */
  serveSolo(a: Record<string, never>): Promise<void>;
  /** solo -> source: from now every write also goes to the partner (which must be `target`). */
  startSource(a: Record<string, never>): Promise<void>;
  /**
   * source: makes the partner's copy equal (hash compare of what may differ, changed blocks sent), as fast as the guest's writes do not
   * feel it, below `maximumBytesPerS`. Blocks that no copy has go into quarantine on both. why: what was compared and the reason, and what
   * was lost. Answers when both are equal but for these, and flushed on both.
   */
  resync(a: { maximumBytesPerS?: number }): Promise<{ comparedBytes: number; copiedBytes: number; why: string }>;
  /** closed -> target. */
  startTarget(a: Record<string, never>): Promise<void>;
  /** target, after the source's resync ended: this copy is equal and follows every write. Fails when it is not certain. Level 2: it stays a target. */
  confirmEqual(a: Record<string, never>): void;
  /** target -> replica (after the source's resync ended): the export is served with an empty overlay. */
  startReplica(a: Record<string, never>): Promise<void>;
  /** source (or solo) -> solo: pending and held writes are completed with the local result. Only after the arbiter's grant is durable. */
  goSolo(a: Record<string, never>): Promise<{ released: number }>;
  /** replica -> solo (takeover): discards what is newer than the last commit, journals and merges the overlay; new writes wait meanwhile. */
  takeOver(a: Record<string, never>): Promise<{ committed: number; discardedBytes: number; mergedBytes: number }>;
  /**
   * replica -> target, planned (the replica's engine has ended): applies the whole journal, also what no checkpoint
   * covers, drops the overlay; from now on every write of the partner is applied directly, whatever its interval.
   */
  collapse(a: Record<string, never>): Promise<{ appliedBytes: number }>;
  /** No copy of the 4 KiB block that `offset` is in can be trusted: the guest gets an I/O error for it (quarantine.ts). Durable when it ends. */
  quarantineBlock(a: { offset: number }): Promise<void>;
  /** source, solo (own): the operator says which copy of a quarantined block is right. Both have it then, and it is served again. */
  chooseBlock(a: { offset: number; keep: BlockSide }): Promise<void>;
  /** source: compares both copies, from the beginning or from where it was cut short. Rejects when that cannot be done now. */
  startScrub(a: Record<string, never>): Promise<void>;
  stopScrub(a: Record<string, never>): Promise<void>;
  /** any -> closed: export closed, pending requests dropped unanswered, disk flushed. */
  close(a: Record<string, never>): Promise<void>;
  /**
   * source: makes the 4 KiB block that `offset` is in equal on both copies. from: the copy that has the right bytes; the other one is
   * rewritten, flushed, read again and verified. A copy that follows repairs nothing by command: its source does.
   * Rejects when the right bytes cannot be had, do not fit their checksum, or the rewritten block still cannot be read.
   */
  repairBlock(a: { offset: number; from: BlockSide }): Promise<void>;
  linkVerdict(a: { link: number; up: boolean }): void;
  status(a: Record<string, never>): MirrorStatus;
};

/** Whose copy: this CoServer's, or the partner's. */
export type BlockSide = 'own' | 'partner';

export interface MirrorStatus {
  mode: MirrorMode;
  pendingWrites: number;
  /** ms since the oldest write that waits for the partner was received; 0 when none waits. */
  oldestPendingMs: number;
  journalBytes: number;
  overlayBytes: number;
  /** Totals since start. */
  reads: number;
  writes: number;
  flushes: number;
  writtenBytes: number;
  committed: number;
  /** ms that the oldest request of the disk here has been waited for; 0 below a second. */
  lateMs: number;
  /** The disk here failed, and its copy has not been made equal since; null: it did not. */
  doubt: string | null;
  /** Requests that a disk which counts as failed has not given back: each holds a thread of the process. */
  stuckRequests: number;
  sizeBytes: number;
  scrub: ScrubView | null;
}

export type MirrorEvents = PointEvents & {
  /** rateBytesPerS: of comparing, over the last seconds: what is left divided by it is the time left. */
  resyncProgress: { comparedBytes: number; copiedBytes: number; totalBytes: number; rateBytesPerS: number };
  /**
   * An I/O error of the local disk: never retried. isOver: the disk as a whole counts as failed (it does not answer, or failed to write);
   * else it was one read.
   */
  diskError: { operation: 'read' | 'write' | 'flush'; offset: number; message: string; isOver: boolean };
  /** A block cannot be read, or does not fit its checksum, and was not repaired at once. Whole blocks of 4 KiB. */
  blockUnreadable: { offset: number; lengthBytes: number; side: BlockSide };
  /** A block that could not be read, or did not fit, was rewritten with the other copy's bytes and verified. foundBy: a read met it, or the comparison of both copies. */
  repaired: { offset: number; lengthBytes: number; side: BlockSide; why: string; foundBy: 'read' | 'comparison' };
  /** A block differs between the copies with no write in flight; whose checksum fits. */
  copiesDiffer: { offset: number; fits: BlockSide | 'neither' };
  /** A comparison of both copies is done or was cut short; what is neither repaired nor waits was given up. */
  scrubEnded: ScrubView;
  /** Whether the copies are being compared, and which blocks are in quarantine (the first 100, ascending). On every change. */
  copies: { scrubbing: boolean; quarantined: number[] };
  /** Of no block of this copy it is known any more what was written there: why. A write or a scrub makes it known again. */
  sumsUnknown: { reason: string };
  /** The channel to the partner came up / went down (all links). */
  channel: { up: boolean };
  /** source: the partner's copy does not follow any more; writes are held until `goSolo`. Once per `startSource`. */
  lost: { reason: string };
  status: MirrorStatus;
};

/** Asked by the memory stream on the secondary over its own port, with the secondary stopped. */
export type CommitCommands = {
  /** Makes interval n durable (commit record, flush). After the answer n survives a crash of this side. */
  decide(a: { interval: number }): Promise<void>;
  /** Applies the journal up to n to the copy, drops the overlay. The engine may load the checkpoint afterwards. */
  apply(a: { interval: number }): Promise<void>;
};
