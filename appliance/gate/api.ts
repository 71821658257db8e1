// What the gate's worker thread is asked and what it reports. The gate is the only way between the guest's NIC and the LAN.
import type { ChannelSetup } from '../wire/channel-setup.ts';
import type { Through } from './lending.ts';
import type { CheckpointCause, HoldLimits, PrimaryStatistics, SecondaryStatistics } from './lockstep/api.ts';
import type { ProbeStatistics } from './lockstep/probes.ts';

export interface GateSetup {
  channel: ChannelSetup;
  interval: SharedArrayBuffer;
  /** The business NIC. */
  nic: string;
  /** Unix stream socket the engine's `-netdev stream` connects to (be32 length + Ethernet frame, both directions). */
  socketPath: string;
  /** 'aa:bb:cc:dd:ee:ff'. Without it the source of the first frame is taken for the guest's. */
  guestMac?: string;
  /** The mode 'lockstep' may be used: connections are followed from the guest's start, and the replica is fed. Default: false. */
  lockstep?: boolean;
  /** How long output waits for the replica's. Default: 25 and 100 ms. An emulated replica, slow after each checkpoint, needs more. */
  holdLimits?: HoldLimits;
  /** How many times longer than usual an engine and a thread of this machine may take. Default: 1. */
  slowness?: number;
}

/**
 *  closed    nothing passes; the engine's frames are dropped
 *  solo      guest <-> LAN at once
 *  holding   primary, level 3: LAN -> guest at once and recorded at the partner; guest -> LAN held until its interval commits
 *            (interval 0 passes at once)
 *  lockstep  primary, level 3, with a replica that is fed: as holding, and what the replica agrees with leaves before its commit.
 *            In interval 0 everything passes; to be set before the guest is stopped for its state's copy
 *  frozen    the partner is lost and nobody has decided: as holding, and commits release nothing
 *  standby   secondary: inputs from the partner recorded; the replica's frames are dropped; with GateSetup.lockstep they are fed
 *            to the replica, and its frames told to the primary
 */
export type GateMode = 'closed' | 'solo' | 'holding' | 'lockstep' | 'frozen' | 'standby';

export interface GuestAddresses {
  mac: string;
  ipv4: string[];
  ipv6: string[];
}

export type GateCommands = {
  open(a: Record<string, never>): Promise<void>;
  setMode(a: { mode: GateMode }): Promise<void>;
  /** Primary with GateSetup.lockstep: the guest stands still (or will at once) for its state's copy: inputs from here on are fed to the replica. */
  guestStopped(a: Record<string, never>): Promise<void>;
  /** frozen|holding -> solo: everything held leaves now. Only after the arbiter's grant is durable. */
  releaseAll(a: Record<string, never>): Promise<{ frames: number }>;
  /** Drops everything held (this side lost). */
  dropAll(a: Record<string, never>): Promise<{ frames: number }>;
  /** standby -> solo: becomes LAN owner, feeds the recorded inputs to the guest, announces its addresses. */
  takeOver(a: Record<string, never>): Promise<{ fedFrames: number; addresses: GuestAddresses }>;
  /** Gratuitous ARP and unsolicited NA for the guest's learned addresses, now and at 50, 200, 600 ms. */
  announce(a: Record<string, never>): Promise<GuestAddresses>;
  /**
   * Owner of the LAN: the guest's frames go over the own NIC, or over the partner's as soon as that one lends it; announced at each change.
   * Until it does, and while the channel is down, they are dropped. Ends with the mode: closed and standby speak for nobody.
   */
  redirect(a: { through: Through }): Promise<void>;
  /** closed|standby: the NIC here is the partner's, for its guest's MAC, while the channel is up. Ends with the mode too. */
  lend(a: { lends: boolean }): Promise<void>;
  linkVerdict(a: { link: number; up: boolean }): void;
  status(a: Record<string, never>): GateStatus;
};

/** Frames, since start. Only the first five are losses; the network's own protocols repair them. */
export interface GateDrops {
  /** The held queue was full. */
  heldFull: number;
  /** The business NIC did not take them, or refused them. */
  lanFull: number;
  /** Arrived at the business NIC while this process was too slow to fetch them. */
  lanReceive: number;
  /** The engine did not read, or was not connected. */
  engineFull: number;
  /** Too short to be Ethernet. */
  runts: number;
  /** The replica's frames, and those of a guest that does not own the LAN. */
  notOwner: number;
  /** Held when this side lost. */
  discarded: number;
  /** Seen on the LAN with the guest's own MAC as their source. */
  echoed: number;
  /** Inputs that are not recorded at the partner: the channel was down or congested, or the ring was full. */
  unrecorded: number;
}

/** One business NIC for both: see lending.ts. */
export interface LendingStatus {
  through: Through;
  partnerLends: boolean;
  lends: boolean;
  /** Frames, since start: emitted here for the partner's guest; handed over to it; dropped (nobody lends, full, not the guest's). */
  emitted: number;
  handedOver: number;
  dropped: number;
}

export interface GateStatus {
  mode: GateMode;
  engineConnected: boolean;
  heldFrames: number;
  heldBytes: number;
  /** ms the oldest held frame waits; 0 when nothing is held. */
  oldestHeldMs: number;
  recordedFrames: number;
  /** Totals since start. In: LAN -> guest. Out: guest -> LAN. Bytes of frames without their lengths. */
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  /** The losses among the drops. */
  dropped: number;
  drops: GateDrops;
  addresses: GuestAddresses;
  /** Null without GateSetup.lockstep. */
  lockstep: { primary: PrimaryStatistics; secondary: SecondaryStatistics; probes: ProbeStatistics } | null;
  lending: LendingStatus;
  /** What went wrong last without stopping the gate, in words; empty: nothing. */
  problem: string;
}

/** What a probe told about the replica: the same question was put to both guests, neither answer reaches the LAN. */
export type ProbeVerdict = { probe: 'arp' | 'neighbour' | 'echo' | 'clock'; interval: number } & (
  | { kind: 'answered'; replicaMs: number }
  /** The primary answered, the replica did not within the limit. */
  | { kind: 'missing'; detail: string }
  /** The replica answered something else; probe 'clock': its clock stands still. */
  | { kind: 'different'; detail: string }
  /** The primary does not answer either: says nothing about the replica. */
  | { kind: 'silent'; detail: string }
);

export type GateEvents = {
  /** Lockstep, primary: one probe ended. */
  probed: ProbeVerdict;
  /** Something is held that was not before: a checkpoint is wanted. At most one until the next commit. */
  outputHeld: { interval: number };
  /** Lockstep: the replicas differ in this, or one waits for the other too long. At most one until the next commit. */
  checkpointWanted: { interval: number; cause: CheckpointCause };
  /**
   * Lockstep, primary: the stream between the gates has a gap: until the next protection every frame waits for its commit, whatever mode
   * is set. At most one per protection.
   */
  comparisonLost: { interval: number; reason: string };
  /** The business NIC's carrier. */
  carrier: { up: boolean };
  status: GateStatus;
};

/** Asked by the memory stream over its own port. */
export type CutCommands = {
  /** The guest is stopped: read what it sent until two event-loop turns brought nothing; then answer. */
  cut(a: { interval: number }): Promise<{ heldFrames: number }>;
  /** The partner owns interval n (primary) / has loaded it (secondary): release or forget what is tagged <= n. */
  commit(a: { interval: number }): void;
  /**
   * Lockstep, REPLY of interval n passes. Secondary: the replica is stopped; answers when what it sent before is told to the primary, and
   * before anything of the checkpoint may reach its engine. Primary: from here to the commit nothing leaves by comparison.
   */
  replied(a: { interval: number }): Promise<void>;
  /**
   * Lockstep, secondary: READY passes when this answers: the replica runs, equal to the primary's stopped guest. Rejects (NO_BEGIN) when
   * the primary's gate has not told its base within 2 s: nothing that the replica says could be compared.
   */
  ready(a: Record<string, never>): Promise<void>;
};
