// What a CoServer knows (State), what can happen to it (Event), what it may order (Command), and the few ways in which a
// step changes them. step() itself is in machine.ts.
import type { CoServerName, IncidentView } from './snapshot.ts';

/** How output is released while both replicas run. Decided in modes.ts. */
export type OutputMode = 'lockstep' | 'passive';

export interface ModePolicy {
  mode: OutputMode;
  since: number;
  why: string;
  /** Lockstep after a pause: has to agree better than what ran well all the time. */
  isTrial: boolean;
  /** passive: when to try again; how long the next pause will be. */
  tryAt: number;
  pauseMs: number;
  /** What the gate saw within the window, oldest first. */
  seen: { at: number; agreed: number; waited: number; asked: number }[];
}

/** The first pause before lockstep is tried again; doubled each time it fails. */
export const FIRST_PAUSE_MS = 30_000;

export type IncidentKind = IncidentView['kind'];

/** Whether the secondary is fit to take over. Decided in audit.ts. */
export interface Audit {
  state: 'off' | 'awaited' | 'proven' | 'unprovable' | 'broken';
  since: number;
  /** Per kind of probe: how many in a row the secondary did not answer, or answered wrong. */
  missing: Readonly<Record<string, number>>;
  /** Probes in a row that the primary did not answer either. */
  silent: number;
  /** The last answer of the secondary, or when asking began. */
  answeredAt: number;
}

export const NO_AUDIT: Audit = { state: 'off', since: 0, missing: {}, silent: 0, answeredAt: 0 };

/** What stands in the durable record about this CoServer's copy and its right to run. */
export type Standing = 'fresh' | 'simplex' | 'duplexPrimary' | 'duplexSecondary' | 'outdated' | 'inconsistent';

export interface DurableRecord {
  generation: number;
  standing: Standing;
  /** The operator (or the guest itself) switched the workload off: nobody starts it until he asks. */
  workloadOff: boolean;
  /** outdated: it was the primary of this generation. When both sides yielded at once, its copy has everything. */
  wasPrimary: boolean;
  /** The operator's choice of how output is released; null: the policy decides. */
  pinnedMode: OutputMode | null;
}

export type PhaseKind =
  | 'isolated'
  | 'claiming'
  | 'starting'
  | 'running'
  | 'resyncing'
  | 'protecting'
  | 'committing'
  | 'duplex'
  | 'standby'
  | 'target'
  | 'incoming'
  | 'ready'
  | 'secondary'
  | 'acting'
  | 'steppingDown'
  | 'off'
  | 'failed';

/** What a CoServer tells its partner of itself, over the authenticated control stream. */
export interface PartnerStatus {
  coServer: CoServerName;
  /** Random per process life. */
  incarnation: string;
  record: DurableRecord;
  phase: PhaseKind;
  /** Grows with every change of phase: an old picture is never mistaken for a new one. */
  revision: number;
  version: string;
  pairId: string;
  /** duplex: the secondary has proved that it could take over. */
  proved: boolean;
  /** claiming as the primary: the secondary is broken, or the arbiter does not answer: it should yield. */
  asksYield: boolean;
}

export type ClaimGoal = 'start' | 'takeOver' | 'continue';

export interface Phase {
  kind: PhaseKind;
  since: number;
  /** Set while a background command of this phase runs. */
  busy: CommandName | null;
  /** claiming: what the grant is for, the applied row, when to ask (next), since when the arbiter does not answer. */
  claim: { goal: ClaimGoal; row: string; why: string; askAt: number; asked: boolean; unreachableSince: number | null } | null;
  /** acting: where to go when the action has ended. */
  next: PhaseKind | null;
  note: string;
}

export interface State {
  me: CoServerName;
  incarnation: string;
  pairId: string;
  version: string;
  now: number;
  timing: Timing;
  record: DurableRecord;
  phase: Phase;
  revision: number;
  links: { up: boolean; since: number }[];
  /** At least one link is up. */
  partnerHeard: boolean;
  partnerSince: number;
  partner: PartnerStatus | null;
  /** An engine of an earlier life of this process still runs the guest here. */
  adoptable: boolean;
  /** Consecutive failures of protection or start, and when to try again. */
  failures: number;
  retryAt: number;
  arbiterReachable: boolean;
  /** The partner was seen recorded as secondary of this generation: it can go on if this side's guest dies. */
  partnerPromotable: boolean;
  /** The replica is fed and can be compared and probed (configuration). */
  canCompare: boolean;
  audit: Audit;
  policy: ModePolicy;
}

export interface Timing {
  /** After a restart, how long the partner is waited for before the witness is asked. */
  restartGraceMs: number;
  /** How much later than the primary the secondary asks: the primary going on costs less than a takeover. */
  secondaryBiasMs: number;
  /** The primary's own engine left the stream: how long its end is waited for. Longer than the secondary's bias: that one is well. */
  engineEndMs: number;
  claimRetryMs: number;
  /** Pause after a failed start or protection, doubled up to the maximum. */
  retryMs: number;
  retryMaximumMs: number;
}

export type StreamName = 'memory' | 'disk' | 'network' | 'control';

/** engine: it left the stream; stalled: an answer did not come; stopped: ended on purpose; byPartner tells whose. */
export type StreamLossCause = 'engine' | 'protocol' | 'channel' | 'stalled' | 'stopped';

export type Event = { at: number } & (
  | { kind: 'tick' }
  | { kind: 'linkObserved'; link: number; up: boolean; silentMs: number }
  | { kind: 'partnerRestarted' }
  /** `path`: how it came. What comes by management alone is true, and says nothing of the links (row 4). */
  | { kind: 'partnerSaid'; status: PartnerStatus; path: 'link' | 'management' }
  /** An authenticated exchange with the partner works, or has stopped working, on another path than the links. */
  | { kind: 'otherPathObserved'; up: boolean }
  /** A harmless power reading through the partner's BMC. `reason`: why it proves nothing. */
  | { kind: 'fencePathObserved'; proven: boolean; reason: string }
  | { kind: 'upsObserved'; onBattery: boolean; low: boolean }
  | { kind: 'arbiterAnswered'; generation: number; answer: 'granted' | 'refused' | 'unreachable'; reason: string }
  | { kind: 'streamLost'; stream: StreamName; cause: StreamLossCause; byPartner: boolean; reason: string }
  | { kind: 'readyHeld' }
  | { kind: 'intervalsStarted' }
  | { kind: 'engineExited'; cause: 'guestShutdown' | 'guestPanic' | 'crash'; reason: string }
  | { kind: 'lateTick'; lateMs: number }
  | { kind: 'diskFailed'; reason: string }
  /** A probe's verdict on the replica (primary). `detail` in words. */
  | { kind: 'probed'; probe: string; outcome: 'answered' | 'missing' | 'different' | 'silent'; interval: number; detail: string }
  /** Secondary: its guest panicked and wants to reset itself; the engine lives on. */
  | { kind: 'replicaPanicked'; reason: string }
  /** A page of one replica's memory is not what it should be. */
  | { kind: 'pageDiffered'; detail: string }
  /** Since the last one, in frames: left by agreement, waited for a commit; checkpoints asked for because of differences. */
  | { kind: 'comparisonObserved'; agreed: number; waited: number; asked: number }
  | { kind: 'operatorRequested'; action: string }
  | { kind: 'commandFinished'; command: CommandName; ok: boolean; reason: string }
);

/**
 * Ordered. `persist`, `freeze` and `say` are barriers: what stands behind them waits until they have ended. The others
 * run in the background and return as `commandFinished`.
 */
export type Command =
  | { kind: 'persist'; record: DurableRecord }
  /** Withhold output at once. */
  | { kind: 'freeze' }
  /** Tell the partner what we are now. */
  | { kind: 'say'; status: PartnerStatus }
  | { kind: 'record'; severity: 'info' | 'warning' | 'critical'; row: string | null; text: string }
  /** A replica was found broken: kept with its evidence, and told the partner. */
  | { kind: 'incident'; incident: IncidentKind; sentence: string }
  | { kind: 'setMode'; mode: OutputMode }
  | { kind: 'claim'; generation: number }
  /** Switch the partner off by its BMC, and verify it. */
  | { kind: 'fence' }
  /** Armed while the workload runs here; disarmed for what is planned. */
  | { kind: 'armWatchdog'; armed: boolean }
  | { kind: 'startGuest'; generation: number }
  | { kind: 'adoptGuest'; generation: number }
  | { kind: 'resync' }
  | { kind: 'protect' }
  | { kind: 'releaseReady' }
  | { kind: 'openTarget' }
  | { kind: 'openIncoming' }
  | { kind: 'takeOver'; generation: number; row: string; reason: string }
  | { kind: 'continueAlone'; generation: number; row: string; reason: string }
  /** Primary, never duplex: forget the partner and run on. */
  | { kind: 'abandonPartner'; reason: string }
  /** Stop what runs here: engine killed, held output dropped, export closed. */
  | { kind: 'stopAll'; reason: string }
  | { kind: 'shutDownGuest' }
  /** Secondary, planned: stop the replica, apply everything, stay the target of the primary's writes. */
  | { kind: 'leaveLockstep' };

export type CommandName = Command['kind'];

export interface Step {
  state: State;
  commands: Command[];
}

export const DEFAULT_TIMING: Timing = {
  restartGraceMs: 4_000,
  secondaryBiasMs: 40,
  engineEndMs: 400,
  claimRetryMs: 250,
  retryMs: 1_000,
  retryMaximumMs: 60_000,
};

export function initialState(a: {
  me: CoServerName;
  incarnation: string;
  pairId: string;
  version: string;
  record: DurableRecord;
  links: number;
  now: number;
  adoptable: boolean;
  canCompare: boolean;
  timing?: Timing;
}): State {
  return {
    me: a.me,
    incarnation: a.incarnation,
    pairId: a.pairId,
    version: a.version,
    now: a.now,
    timing: a.timing ?? DEFAULT_TIMING,
    record: a.record,
    phase: { kind: 'isolated', since: a.now, busy: null, claim: null, next: null, note: 'just started' },
    revision: 1,
    links: Array.from({ length: a.links }, () => ({ up: false, since: a.now })),
    partnerHeard: false,
    partnerSince: a.now,
    partner: null,
    adoptable: a.adoptable,
    failures: 0,
    retryAt: a.now,
    arbiterReachable: true,
    partnerPromotable: false,
    canCompare: a.canCompare,
    audit: NO_AUDIT,
    policy: { mode: 'lockstep', since: a.now, why: 'the replicas agree', isTrial: false, tryAt: 0, pauseMs: FIRST_PAUSE_MS, seen: [] },
  };
}

/** A step under way: handlers change `state` (its own copy) and append commands. */
export interface Work {
  state: State;
  commands: Command[];
}

export function statusOf(s: State): PartnerStatus {
  return {
    coServer: s.me,
    incarnation: s.incarnation,
    record: s.record,
    phase: s.phase.kind,
    revision: s.revision,
    version: s.version,
    pairId: s.pairId,
    proved: s.phase.kind === 'duplex' && (s.audit.state === 'proven' || s.audit.state === 'unprovable'),
    asksYield:
      s.phase.claim?.goal === 'continue' &&
      s.record.standing === 'duplexPrimary' &&
      (s.audit.state === 'broken' || s.phase.claim.unreachableSince !== null),
  };
}

/** Enters a phase: the partner is told at the end of the step. */
export function enter(work: Work, kind: PhaseKind, note: string, more: Partial<Phase> = {}): void {
  const { state } = work;
  state.phase = { kind, since: state.now, busy: null, claim: null, next: null, note, ...more };
  state.revision++;
}

/** Writes the durable record; what follows in this step waits for it. */
export function persist(work: Work, change: Partial<DurableRecord>): void {
  work.state.record = { ...work.state.record, ...change };
  work.state.revision++;
  work.commands.push({ kind: 'persist', record: work.state.record });
}

/** A start or a protection failed: the next attempt later each time it happens in a row. */
export function setRetry({ state }: Work): void {
  const pause = Math.min(state.timing.retryMs * 2 ** state.failures, state.timing.retryMaximumMs);
  state.failures++;
  state.retryAt = state.now + pause;
}

export function never(x: never): never {
  throw new Error(`unexpected ${JSON.stringify(x)}`);
}
