// Lockstep's pure core: its words. No I/O, no clock: time and the interval are arguments, what happens goes to the ports.
//
//   LockstepPrimary (primary.ts)     at the side whose guest speaks to the LAN; also while nothing is protected: it translates
//                                    for the connections that outlived a takeover, and follows every connection from its start
//   LockstepSecondary (secondary.ts) at the partner, until its takeover; then its `takeOver().base` goes into a LockstepPrimary
//
// Three coordinates of a connection's sequence numbers and timestamps:
//   LAN      what the client sees, for the life of the connection
//   primary  what the primary's guest uses; LAN + base offset. The base is 0 for connections that never outlived a takeover
//   replica  what the secondary's guest uses; LAN + offset. Equal to the primary's at every commit, different for connections
//            opened since
// Between the CoServers, and in every comparison, there are only LAN coordinates.
//
// A session, as the two sides see it (interval counters of both sides as in wire/interval.ts):
//
//   primary                                          secondary
//   begin(session)                ---- begin ---->   fromPartner: tables cleared, base offsets known, replica not running
//   (fromLan: recorded there)     ---- input ---->   (the latest are kept; none is fed)
//   guestStopped()                ---- mark  ---->   (older ones forgotten: they are part of the guest's state)
//   fromGuest(interval 0): leaves at once
//                                                    onLoaded(0) when READY passes: replica runs, inputs since the mark are fed
//   fromGuest(interval 1)         <--- output -----  fromReplica, translated to LAN coordinates, tag = loaded + 1
//   onReply(1)                                       onStopped(1) when REPLY passes and everything it sent before was given to
//                                                    fromReplica: inputs are held; what fromReplica gets from now on waits
//   onCommit(1): all tags <= 1                       onLoaded(1) when LOADED passes: offsets = base, held inputs are fed, output
//                                                    that waited is tagged 2
//   fromGuest(interval 2) ...
//
// Frames are whole Ethernet frames without their length. Frames given to `fromGuest`, `fromReplica` and `fromPartner` belong to
// the core: they are kept by reference and changed in place. Frames given to `fromLan` are not changed (they are also on
// their way to the partner); where a translation is needed, a copy is. Frames that the core makes have a memory of their own: all
// others lie behind their length in the batch that they came in, so that what leaves together is one range of it.

/** Why a checkpoint is wanted. Each is counted by itself: one broken rule must not hide behind the others. */
export type CheckpointCause =
  /** Bytes of a stream were held DATA_HOLD_MS: the replica did not produce them. */
  | 'data'
  /** As `data`, for frames with SYN, FIN or RST. */
  | 'syn'
  | 'fin'
  | 'rst'
  /** An acknowledgement was held ACK_HOLD_MS: the replica does not have what it acknowledges. */
  | 'ack'
  /** The replica produced other bytes: asked for at once. */
  | 'different'
  /** UDP, ICMP or another datagram that the replica did not send. */
  | 'datagram'
  /** A frame that is never compared: fragments, extension headers, unknown protocols, urgent data. */
  | 'opaque'
  /** A connection that was not followed from its start, or was forgotten at the limit. */
  | 'unknown'
  /** The replica offers a smaller window, and for ACK_HOLD_MS the client was told the smaller one. */
  | 'window'
  /** No room to hold more. */
  | 'full'
  /** Comparison is switched off: whatever is held waits for a checkpoint, and asks for it at once. */
  | 'passive';

export const CHECKPOINT_CAUSES: readonly CheckpointCause[] = [
  'data',
  'syn',
  'fin',
  'rst',
  'ack',
  'different',
  'datagram',
  'opaque',
  'unknown',
  'window',
  'full',
  'passive',
];

/** Bytes that make the client wait: well below a human's notice and above the replicas' usual distance. */
export const DATA_HOLD_MS = 25;
/** Below a client's smallest retransmission timer (200 ms), above the guest's delayed acknowledgement (40 ms). */
export const ACK_HOLD_MS = 100;

/** How long the primary's output waits for the replica's before a checkpoint is asked for. */
export interface HoldLimits {
  dataMs: number;
  ackMs: number;
}
export const DEFAULT_HOLD_LIMITS: HoldLimits = { dataMs: DATA_HOLD_MS, ackMs: ACK_HOLD_MS };

/** Established connections that are followed; the least recently used is forgotten. About 300 bytes each. */
export const CONNECTION_LIMIT = 32_768;
/**
 * Those of which the guest has sent only SYNs or resets. Everybody can begin any number of them in any name: they never push out an
 * established one. Guests keep fewer themselves (Linux: 4096 for each listener). What is held comes on top, as long as it is held.
 */
export const HALF_OPEN_LIMIT = 8_192;
/** Connections with an offset of their own (they outlived a takeover, or began in this interval at the secondary). */
export const OFFSET_LIMIT = 16_384;
/** Held frames; with HELD_FRAME_OVERHEAD_BYTES for each. Beyond it the newest are dropped: the network repairs it. */
export const HELD_LIMIT_BYTES = 64 * 1024 * 1024;
export const HELD_FRAME_OVERHEAD_BYTES = 256;
/** The replica's bytes and datagrams that the primary has not sent yet; beyond it they are forgotten: a checkpoint follows. */
export const REPLICA_LIMIT_BYTES = 64 * 1024 * 1024;
/** Inputs held for the replica while it is stopped, and kept before it runs. The oldest are forgotten. */
export const INPUT_LIMIT_BYTES = 16 * 1024 * 1024;
export const INPUT_LIMIT_FRAMES = 16_384;
/** The replica's frames that wait for LOADED or for the primary's sequence number. */
export const WAITING_LIMIT_FRAMES = 4_096;

/**
 * A connection as the guest sees it: guest address, remote address (4 or 16 bytes each), guest port, remote port, one
 * character per byte (latin1): 12 or 36 characters.
 */
export type ConnectionKey = string;

/** The guest's numbers minus the LAN's, modulo 2^32. */
export interface BaseOffset {
  key: ConnectionKey;
  sequence: number;
  timestamp: number;
  /** The guest's own initial sequence number, when known: its SYN sent again is not a new connection. */
  guestIsn: number | null;
}

/** From the primary to the secondary, in this order. */
export type PrimaryMessage =
  | { kind: 'begin'; session: number; base: BaseOffset[] }
  /** The primary's guest stands still from about here: earlier inputs are part of the state that the secondary loads. */
  | { kind: 'mark' }
  /** A frame for the guest, as it was on the LAN. `interval`: the primary's counter. */
  | { kind: 'input'; interval: number; frame: Buffer }
  /**
   * The primary's guest sent a SYN or SYN-ACK of a new connection. LAN coordinates; `timestamp` null without the option; `answers`
   * is the acknowledgement number of a SYN-ACK, null for a SYN: only equal ones belong together.
   */
  | { kind: 'isn'; interval: number; key: ConnectionKey; sequence: number; timestamp: number | null; answers: number | null };

/** From the secondary to the primary. LAN coordinates; the replica sent it in this interval. */
export type SecondaryMessage = { kind: 'output'; session: number; interval: number; frame: Buffer };

/** passed: nothing was protected, or a frame that is never held (ARP, neighbour discovery). */
export type ReleasedBy = 'passed' | 'comparison' | 'commit' | 'grant';

export interface PrimaryPorts {
  /** To the LAN, in order. */
  release(frame: Buffer, by: ReleasedBy): void;
  /** To the primary's guest. */
  feed(frame: Buffer): void;
  toPartner(message: PrimaryMessage): void;
  /** At most once until the next commit. */
  wantCheckpoint(cause: CheckpointCause): void;
}

export interface SecondaryPorts {
  /** To the replica. */
  feed(frame: Buffer): void;
  toPartner(message: SecondaryMessage): void;
}

export interface PrimaryStatistics {
  heldFrames: number;
  heldBytes: number;
  /** Totals in frames since start. */
  releasedByComparison: number;
  releasedByCommit: number;
  passed: number;
  /** Not held for want of room: lost. */
  droppedFull: number;
  /** Checkpoints asked for, by cause. */
  causes: Record<CheckpointCause, number>;
  connections: number;
  forgottenConnections: number;
  /** Connections that outlived a takeover. */
  baseOffsets: number;
  /** The replica's bytes that wait for the primary's. */
  replicaBytes: number;
  /** The replica's frames that came too late or could not be kept. */
  replicaIgnored: number;
  /** Windows that were made smaller because the replica offered less. */
  clampedWindows: number;
}

export interface SecondaryStatistics {
  /** The primary's `begin` has come, and no takeover since. */
  inSession: boolean;
  /** Connections whose numbers differ from the LAN's. */
  offsets: number;
  heldInputs: number;
  waitingOutputs: number;
  /** Inputs forgotten at the limit. */
  lostInputs: number;
  /** The replica's frames that waited for LOADED and found no room. */
  lostOutputs: number;
  /** Since the last LOADED more connections began than are kept: no TCP frame of the replica counts until the next one. */
  overflowed: boolean;
  /** The replica's frames that were told to the primary, and their bytes. */
  outputs: number;
  outputBytes: number;
}

/** `new LockstepPrimary(ports, limits?)` in primary.ts. */
export interface LockstepPrimaryApi {
  /** Protection begins: tells the partner the base offsets; frames of interval 0 still leave at once. Throws while frames are held. */
  begin(session: number): void;
  /** The guest was stopped for its state's copy (also: will be stopped now). */
  guestStopped(): void;
  /** Protection is over and the caller has decided: output leaves at once from now on. Held frames stay until releaseAll / dropAll. */
  end(): void;
  /** false: as passive mode, every frame waits for its commit. Default: true. What agrees already leaves when it is switched on. */
  setComparing(on: boolean, nowMs: number): void;
  /** Nobody has decided: nothing leaves, commits are remembered. false: what was committed meanwhile leaves. */
  freeze(frozen: boolean, nowMs: number): void;
  /** The interval counter was read: from 1 on nothing passes, also when the guest was silent until the counter went back. */
  observe(interval: number): void;
  fromGuest(frame: Buffer, interval: number, nowMs: number): void;
  fromLan(frame: Buffer, interval: number): void;
  fromPartner(message: SecondaryMessage, nowMs: number): void;
  onReply(interval: number): void;
  onCommit(interval: number, nowMs: number): void;
  /** Looks for what was held too long; to be called every few ms while something is held. */
  tick(nowMs: number): void;
  /** ms that the oldest held frame waits; 0 when nothing is held. */
  oldestMs(nowMs: number): number;
  /** Everything held leaves. Only after the arbiter's grant. Answers the number of frames. */
  releaseAll(): number;
  dropAll(): number;
  exportBase(): BaseOffset[];
  importBase(base: readonly BaseOffset[]): void;
  statistics(): PrimaryStatistics;
}

/** `new LockstepSecondary(ports)` in secondary.ts: one per session or one for many; `begin` clears it. */
export interface LockstepSecondaryApi {
  fromPartner(message: PrimaryMessage): void;
  fromReplica(frame: Buffer): void;
  onStopped(interval: number): void;
  /** 0: READY passed. */
  onLoaded(interval: number): void;
  /**
   * Held inputs are fed, and the clients' latest numbers once more, so that the guest says what it has. Afterwards a LockstepPrimary carries on at this side: the base goes into it (importBase), then `late` through
   * its fromGuest (what the replica sent and nobody has looked at). `unseen`, in LAN coordinates, may be sent at once: what the
   * replica said lately and no client has acknowledged, so that clients need not wait for their timers.
   */
  takeOver(): { base: BaseOffset[]; fedFrames: number; late: Buffer[]; unseen: Buffer[] };
  statistics(): SecondaryStatistics;
}
