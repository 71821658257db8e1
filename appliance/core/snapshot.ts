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
  /** The latest pauses and sizes, oldest first, for the charts. At most 240. */
  recent: { at: number; pauseMs: number; bytes: number }[];
}

export interface WorkloadView {
  name: string;
  state: 'off' | 'starting' | 'running' | 'held' | 'stopped' | 'failed';
  level: ProtectionLevel;
  addresses: string[];
  acceleration: 'kvm' | 'tcg' | 'unknown';
  sentence: string;
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
  arbiter: { kind: 'witness'; reachable: boolean; sentence: string };
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
  /** Actions an operator may ask for, each allowed or refused with the reason that stands next to the grey button. */
  actions: { name: string; label: string; allowed: boolean; reason: string }[];
  /** Set when the pair runs in the lab on one machine: consoles show lab buttons. */
  lab: boolean;
  /** Where each CoServer's web console answers, with its certificate's SHA-256 fingerprint where that is known. */
  consoles?: { coServer: CoServerName; url: string; fingerprint: string | null }[];
}
