// The read-only picture of the pair that every console gets. Every fact and every reason that a console shows is here.
// Times are wall clock ms for display only; durations in ms; sizes in bytes.

export type CoServerName = 'A' | 'B';
export type Redundancy = 'duplex' | 'simplex' | 'isolated';
export type ProtectionLevel = 'faultTolerant' | 'highlyAvailable' | 'restart' | 'unprotected';
export type CopyState = 'upToDate' | 'outdated' | 'inconsistent' | 'unknown';
export type Role = 'primary' | 'secondary' | 'none';

export interface LinkView {
  name: string;
  nic: string;
  up: boolean;
  carrier: boolean;
  rttMs: number;
  /** Since when it is as it is. */
  since: number;
  /** Heartbeat frames that came and were not believed, by kind in a few words ('forged', 'replayed'); none that are 0. */
  dropped?: { what: string; count: number }[];
}

export interface CoServerView {
  name: CoServerName;
  /** Whether the CoServer that made this picture hears it. */
  present: boolean;
  role: Role;
  /** One word for the state, and a sentence that says what it does now and why. */
  phase: string;
  sentence: string;
  generation: number;
  copy: CopyState;
  version: string;
  /** The operator took it out. */
  maintenance: boolean;
  power: 'mains' | 'battery' | 'low';
  /** Its generation began by the operator's force. */
  forced: boolean;
}

export interface ProgressView {
  what: string;
  doneBytes: number;
  totalBytes: number;
  rateBytesPerS: number;
  etaS: number | null;
}

export interface TimelineEntry {
  at: number;
  /** Monotonic ms of the CoServer that recorded it. */
  atMs: number;
  coServer: CoServerName;
  severity: 'info' | 'warning' | 'critical';
  /** The applied row of the decision table, where one applied: '5', '7w'. */
  row: string | null;
  text: string;
  /** What that CoServer knew when it applied the row, 'label: value' each; not kept for the older entries of a picture. */
  evidence?: string[];
}

export type ArbiterKind = 'witness' | 'fence' | 'named';

/** An arbiter as one CoServer sees it. */
export interface SightView {
  configured: boolean;
  reason: string;
  /** For how long it has been as it is. */
  sinceMs: number;
}

/** Who decides if the partner is lost now, and what is known of those who could. */
export interface ArbiterView {
  /** Both run, or one was just lost: it decides. Not while one runs alone. */
  applies: boolean;
  kind: ArbiterKind;
  /** named: the CoServer that may go on by itself. */
  named: CoServerName | null;
  /** "If the partner is lost now: ..." */
  sentence: string;
  /** Both are changing over to it; null: they are not. */
  changingTo: ArbiterKind | null;
  witness: SightView & { usable: boolean };
  /** The way to the partner's management controller. */
  fencePath: SightView & { proven: boolean };
  /** The same two as the partner sees them; null: it is not heard. */
  partnerWitness: boolean | null;
  partnerFencePath: boolean | null;
}

/** Something that the operator should know of or decide: what is going on, what ends it by itself, what he can do. */
export interface AttentionView {
  kind:
    | 'frozen'
    | 'notStarted'
    | 'diskFailed'
    | 'diskRefused'
    | 'diskOut'
    | 'diskLate'
    | 'block'
    | 'diverged'
    | 'failed'
    | 'waiting'
    | 'quarantined'
    | 'maintenance'
    | 'forced'
    | 'power'
    | 'hardware'
    | 'qualification'
    | 'network'
    | 'replacement'
    | 'address'
    | 'update'
    | 'version';
  severity: 'info' | 'warning' | 'critical';
  title: string;
  sentence: string;
  /** The row of the decision table that is applied. */
  row: string | null;
  /** Until it ends by itself; null: that is not known. */
  leftMs: number | null;
  /** What ends it without the operator. */
  endsWhen: string[];
  /** What the operator can do. action: its name among `actions`, asked for here; null: nothing to ask for here. */
  ways: { text: string; action: string | null }[];
}

/** What an operator may ask for. */
export interface ActionView {
  name: string;
  label: string;
  allowed: boolean;
  /** Stands next to the grey button. */
  reason: string;
  /** It can lose data: the word that must be typed for it, and what it means. */
  typed?: { word: string; meaning: string };
}

/** One step of a takeover or of a return to simplex, ms since the loss was noticed. */
export interface TakeoverStep {
  step: string;
  atMs: number;
}

export interface TakeoverView {
  at: number;
  coServer: CoServerName;
  kind: 'takeover' | 'continue';
  reason: string;
  row: string;
  steps: TakeoverStep[];
  /** Where in the row of checkpoints the loss fell, as this side knows it. */
  during?: 'between checkpoints' | 'a checkpoint being collected' | 'a committed checkpoint being loaded' | 'the first synchronisation';
}

export interface CheckpointView {
  mode: 'passive' | 'lockstep';
  interval: number;
  perSecond: number;
  pauseP50Ms: number;
  pauseP99Ms: number;
  /** The latest pauses, sizes as the engine gave them and as they were sent, oldest first, for the charts. At most 240. */
  recent: { at: number; pauseMs: number; bytes: number; sentBytes: number }[];
}

/** How the two replicas' output is treated, and why. Null while the workload runs alone. */
export interface LockstepView {
  mode: 'lockstep' | 'passive';
  /** The operator's choice; null: the policy decides. */
  pinned: 'lockstep' | 'passive' | null;
  /** Wall clock. */
  since: number;
  /** Why this mode, in words. */
  sentence: string;
  /** 0..1, of the frames that had to be compared within the last minute: those that left because the replicas agreed. Null: none. */
  agreedShare: number | null;
  /** Why checkpoints were asked for, most frequent first; those that never happened are left out. */
  causes: { cause: string; label: string; total: number; perMinute: number }[];
}

/** Is the secondary fit to take over? Asked again and again while both replicas run. */
export interface AuditView {
  /** awaited: not answered yet since the last protection, so not protected; proven; broken: found unfit and being replaced;
   *  unprovable: the guest itself answers no probe, only its memory is compared. */
  state: 'awaited' | 'proven' | 'broken' | 'unprovable';
  sentence: string;
  /** Questions put to both replicas on the network, and the answers of the secondary. Totals of this protection. */
  probes: { sent: number; answered: number; missing: number; lastAnsweredAt: number | null };
  /** Pages of memory that were compared, and how many of all there are. */
  pages: { checked: number; perSecond: number; total: number };
}

/** A replica was found broken: what, where, since when, and what was seen. */
export interface IncidentView {
  at: number;
  coServer: CoServerName;
  kind: 'probeMissing' | 'probeDifferent' | 'pageDiffers' | 'clockStuck' | 'guestPanic' | 'engineEnded' | 'streamBroke';
  sentence: string;
  /** Lines: which page and since which interval, the last words of the guest's console. At most 40. */
  evidence: string[];
}

export interface WorkloadView {
  name: string;
  state: 'off' | 'starting' | 'running' | 'held' | 'stopped' | 'failed';
  level: ProtectionLevel;
  addresses: string[];
  acceleration: 'kvm' | 'tcg' | 'unknown';
  sentence: string;
}

/** The copies of the disk, as the CoServer that made this picture sees them. Totals count since its process started. */
export interface DiskView {
  /** The copy here: bytes of the disk, and how writes become durable. */
  sizeBytes: number;
  /**
   * Blocks of either copy that could not be read or did not fit their checksum, and were served and repaired from the other one, since
   * the start of this CoServer or the last comparison that found nothing.
   */
  repairedBlocks: number;
  /** Blocks that no copy of can be trusted: the guest gets an I/O error for them. Byte offsets, at most 100. */
  quarantined: number[];
  /** The comparison of both copies that is under way, or the last one. Null: none was begun. */
  scrub: ScrubView | null;
  /** Milliseconds that the oldest request of the disk here has been waited for; 0: none is late. */
  lateMs: number;
}

export interface ScrubView {
  state: 'running' | 'paused' | 'done' | 'cutShort';
  /** Wall clock. */
  startedAt: number;
  endedAt: number | null;
  checkedBytes: number;
  totalBytes: number;
  /** Blocks that differed, and what became of them. */
  differed: number;
  repaired: number;
  /** Why it waits, or what cut it short. */
  reason: string;
}

/** A state of the guest's disk that is kept, and can be read, exported and gone back to. */
export interface RestorePointView {
  name: string;
  /** Wall clock. */
  takenAt: number;
  /** scheduled: retention may remove it; operator: kept until removed; rollback: made before going back to another one. */
  kind: 'scheduled' | 'operator' | 'rollback';
  /** Which CoServers hold it. */
  on: CoServerName[];
  /** What it keeps of the disk here, and since it was taken. */
  keptBytes: number;
  /** Why it cannot be used any more; empty: it can. */
  trouble: string;
  /** Why it cannot be read here now, though it is kept: it may come back. Not there: it can. */
  unavailable?: string;
  /** It is being read or exported now. */
  inUse: boolean;
}

/** What a CoServer is made of, for a person who stands before a rack of them. Nothing here is compared. Null: not known. */
export interface ServerView {
  vendor: string | null;
  model: string | null;
  serial: string | null;
  /** "AMI 2.3, 2024-03-08". */
  bios: string | null;
  /** "Xeon Gold 6338, 64 cores in 2 sockets". */
  cpu: string | null;
  memoryBytes: number | null;
  /** The operating system that the appliance runs on. */
  system: string | null;
  /** How the appliance's state lies on its disk: "encrypted (TPM2)". Absent where no image of the appliance runs. */
  state?: string;
}

/** Something that is wrong with a part of a server now. Of the partner's only the code and the place are told over the link. */
export interface FaultView {
  coServer: CoServerName;
  code: string;
  severity: 'warning' | 'critical';
  /** "A fan has failed". */
  sentence: string;
  /** Where it sits: "FAN2", "/dev/sda (ST4000NM, serial Z1Z2)". '' where the sentence says it all. */
  where: string;
  /** What was read: "0 RPM, too low, critical". '': not known here. */
  detail: string;
  /** What to replace, what to look at. */
  remedy: string;
  /** What it does to the pair, in words. */
  effect: string;
  /** Wall clock; null: not known here. */
  since: number | null;
  /** What was read when it was raised, and then; newest last. */
  evidence: string[];
}

export interface SensorView {
  name: string;
  kind: 'temperature' | 'voltage' | 'current' | 'fan' | 'powerSupply' | 'processor' | 'memory' | 'drive' | 'other';
  /** Null: none, or the sensor is off. */
  value: number | null;
  unit: string;
  level: 'ok' | 'nonCritical' | 'critical' | 'nonRecoverable' | 'absent' | 'unavailable';
  /** Of discrete sensors, in words. */
  states: string[];
}

/** Of a disk's own account of itself (SMART). Null: it does not tell. */
export interface DiskHealthView {
  disk: string;
  model: string;
  serial: string;
  /** Its own judgement. */
  passed: boolean | null;
  temperatureC: number | null;
  /** 100: used up, by the maker's own reckoning. It may be more. */
  percentUsed: number | null;
  powerOnHours: number | null;
  reallocatedSectors: number | null;
}

export interface NicHealthView {
  nic: string;
  role: 'link' | 'business' | 'management';
  carrier: boolean;
  speedMbps: number | null;
  /** Frames that were damaged or lost in the NIC, since the machine started. */
  errors: number;
}

/** Something that can be read of the hardware, and how that goes. */
export interface SourceView {
  source: 'sensors' | 'sel' | 'smart' | 'memory' | 'machineChecks' | 'pcie' | 'nics' | 'disks' | 'diskErrors' | 'cpu' | 'room';
  /** waiting: not read yet; absent: this server has no such thing. */
  state: 'waiting' | 'read' | 'absent' | 'failed';
  reason: string;
  /** Wall clock of the last time that it was read; null: never. */
  readAt: number | null;
}

/** One thing that was compared between the two servers, and by which rule. */
export interface QualificationItemView {
  item: string;
  verdict: 'identical' | 'compatible' | 'refused' | 'unknown';
  /** Of A and of B, in words. */
  a: string;
  b: string;
  rule: string;
}

/** May these two run in lockstep? */
export interface QualificationView {
  /** notAsked: by the configuration nobody compares them. */
  verdict: 'passed' | 'refused' | 'unknown' | 'notAsked';
  sentence: string;
  /** What was compared, what speaks against it first. Not there: not told here. */
  items?: QualificationItemView[];
}

/** The hardware of the CoServer that made the picture, and the faults of both. */
export interface HardwareView {
  watched: boolean;
  /** Why it is not watched, or what is not known yet; '': it is watched. */
  reason: string;
  /** Null: not known, or not yet. */
  server: ServerView | null;
  /** The worst first. */
  faults: FaultView[];
  /** Those that look bad first; a picture goes out often, so at most 64 sensors and 16 of each of the others. */
  sensors: SensorView[];
  disks: DiskHealthView[];
  nics: NicHealthView[];
  /** How many there are that are not among them. */
  more: { faults: number; sensors: number; disks: number; nics: number };
  sources: SourceView[];
  qualification: QualificationView;
}

export interface Snapshot {
  /** The CoServer that made it, its wall clock, its uptime. */
  coServer: CoServerName;
  at: number;
  uptimeMs: number;
  redundancy: Redundancy;
  /** "Duplex: either server may fail now." / "Simplex: B is being made equal, 43 MB left." */
  redundancySentence: string;
  /** What would be down if this part failed now: the single points of failure left. */
  singlePoints: string[];
  generation: number;
  arbiter: ArbiterView;
  /** The most severe first. */
  attention: AttentionView[];
  coServers: CoServerView[];
  links: LinkView[];
  workload: WorkloadView;
  progress: ProgressView | null;
  checkpoints: CheckpointView;
  heartbeat: { timeoutMs: number; floorMs: number; jitterP99Ms: number; jitterMaxMs: number };
  gate: { heldFrames: number; oldestHeldMs: number; bytesInPerS: number; bytesOutPerS: number };
  timeline: TimelineEntry[];
  takeovers: TakeoverView[];
  process: { rssBytes: number; cpuPercent: number };
  actions: ActionView[];
  /** Set when the pair runs in the lab on one machine: consoles show lab buttons. */
  lab: boolean;
  lockstep: LockstepView | null;
  audit: AuditView | null;
  /** The latest, oldest first. At most 20. */
  incidents: IncidentView[];
  disk?: DiskView;
  hardware?: HardwareView;
  /** Newest first. */
  restorePoints?: RestorePointView[];
  /** Where each CoServer's web console answers, with its certificate's SHA-256 fingerprint where that is known. */
  consoles?: { coServer: CoServerName; url: string; fingerprint: string | null }[];
}
