// What a CoServer knows (State), and the few ways in which a step changes it. What can happen and what may be ordered is in
// events.ts, what survives a power loss in record.ts, what the partner is told in partner-status.ts; step() itself is in machine.ts.

import type { Command, CommandName } from './events.ts';
import type { Fault } from './faults/types.ts';
import type { PartnerStatus, Power } from './partner-status.ts';
import type { Arbiter, DurableRecord, OutputMode } from './record.ts';
import type { CoServerName } from './snapshot.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';

export * from './events.ts';
export * from './partner-status.ts';
export * from './record.ts';
export * from './timing.ts';

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
  | 'failed'
  /** The only good copy cannot be served: output withheld, the guest kept, nothing older is used. */
  | 'frozen'
  /** Two histories: both sides own one. The operator chooses. */
  | 'diverged';

export interface Wish {
  arbiter: Arbiter;
  number: number;
}

/** passed: they may. unknown: something could not be read, or the partner does not tell. */
export interface Qualification {
  verdict: 'passed' | 'refused' | 'unknown';
  /** What differs or is missing, in words: for the operator, one line. */
  sentence: string;
}

/** 3: output is compared or waits for its commit. 2: nothing is compared, so a lease keeps two from speaking. */
export type ProtectedLevel = 2 | 3;

export type ClaimGoal = 'start' | 'takeOver' | 'continue';

export interface ClaimState {
  goal: ClaimGoal;
  /** The row that is applied when it succeeds. */
  row: string;
  why: string;
  /** none: nobody here may grant (the other one is named): only the partner's yield, its return, or the operator. */
  by: 'witness' | 'fence' | 'none';
  /** When to ask (next). */
  askAt: number;
  asked: boolean;
  /** Since when the arbiter does not help: from here on this CoServer is frozen. */
  unreachableSince: number | null;
}

/** What is known of an arbiter. */
export interface ArbiterSight {
  configured: boolean;
  /** It would decide: the witness usable, the fence path proven. */
  ok: boolean;
  since: number;
  reason: string;
}

export interface Phase {
  kind: PhaseKind;
  since: number;
  /** Set while a background command of this phase runs. */
  busy: CommandName | null;
  claim: ClaimState | null;
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
  /** The partner was seen recorded as secondary of this generation: it can go on if this side's guest dies. */
  partnerPromotable: boolean;
  /** The replica is fed and can be compared and probed (configuration). */
  canCompare: boolean;
  audit: Audit;
  policy: ModePolicy;
  witness: ArbiterSight;
  fence: ArbiterSight;
  /** Primary, duplex: the arbiter both should hold next; how many wishes there were; secondary: the last one that it follows. */
  wish: Wish | null;
  wishes: number;
  wishSeen: number;
  /** The partner's latest word over any path, also one that is no link. Enough for a yield, never for joining. */
  newest: PartnerStatus | null;
  newestAt: number;
  /** The partner's earlier lives, oldest first: a word of theirs that arrives now is not true any more. */
  pastIncarnations: readonly string[];
  /** Authenticated exchanges work over a path that is no link (management). */
  otherPathUp: boolean;
  /** Times of unplanned losses of the partner within the window; until when it does not rejoin by itself. */
  losses: readonly number[];
  quarantinedUntil: number | null;
  /** The guest panicked and is restarted (null: not started yet), or was; panics.ts. Null: it did not. */
  panicRestart: { startedAt: number | null } | null;
  power: Power;
  powerSince: number;
  /** This CoServer shut the workload down for lack of mains: it starts again by itself when mains is back. */
  stoppedForPower: boolean;
  businessUp: boolean;
  redirected: boolean;
  lending: boolean;
  watchdogArmed: boolean;
  /** Why it is not, although it was ordered. */
  watchdogProblem: string | null;
  /** Of this server's hardware, the worst first. */
  faults: readonly Fault[];
  /** Lockstep only between two servers that qualify (configuration); what is known of that, null: nothing yet. */
  mustQualify: boolean;
  qualification: Qualification | null;
  level: ProtectedLevel;
  /** The level that was told of as not fitting. */
  toldLevel: ProtectedLevel | null;
  /** Level 2: the guest is being shut down here so that it starts on the partner, and why; null: it is not. */
  moving: 'move' | 'maintenance' | null;
  /** This process is to end and to be started again (moves.ts); ordered: nothing is left to be done before. */
  stop: 'wanted' | 'ordered' | null;
  /** Versions of the partner's software that this one may run duplex with, besides its own. */
  compatibleVersions: readonly string[];
  /** Why the disk here was not opened; null: it was, or nobody tried. */
  diskRefused: string | null;
  /** What was said once: two histories; a version that does not fit. */
  toldDiverged: boolean;
  toldVersion: string | null;
  /** The row for which this side stopped last. */
  yieldRow: string | null;
  /** Why the disk here counts as failed, until the operator wants it tried again; a restart forgets it. Null: it does not. */
  diskFailed: string | null;
  /** Both copies are being compared; blocks in quarantine, ascending. As the mirror said last. */
  scrubbing: boolean;
  quarantined: readonly number[];
  /** While the partner is not heard: when its last frame came, over any link. */
  heardAt: number;
  /** When it last woke from a sleep; what it hears then is the answer to that (row 18). */
  wokeAt: number | null;
}

export interface StateOptions {
  me: CoServerName;
  incarnation: string;
  pairId: string;
  version: string;
  record: DurableRecord;
  links: number;
  now: number;
  adoptable: boolean;
  canCompare: boolean;
  /** Whether a witness and the partner's BMC are configured. */
  arbiters?: { witness: boolean; fence: boolean };
  level?: ProtectedLevel;
  compatibleVersions?: readonly string[];
  mustQualify?: boolean;
  timing?: Timing;
}

export function initialState(a: StateOptions): State {
  const arbiters = a.arbiters ?? { witness: true, fence: false };
  const sight = (configured: boolean): ArbiterSight => ({
    configured,
    ok: false,
    since: a.now,
    reason: configured ? 'not asked yet' : 'not configured',
  });
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
    // A replica's engine knows nothing of what its disk lost with this process.
    adoptable: a.adoptable && (a.record.standing === 'simplex' || a.record.standing === 'duplexPrimary'),
    failures: 0,
    retryAt: a.now,
    partnerPromotable: false,
    canCompare: a.canCompare && (a.level ?? 3) === 3,
    audit: NO_AUDIT,
    policy: { mode: 'lockstep', since: a.now, why: 'the replicas agree', isTrial: false, tryAt: 0, pauseMs: FIRST_PAUSE_MS, seen: [] },
    witness: sight(arbiters.witness),
    fence: sight(arbiters.fence),
    wish: null,
    wishes: 0,
    wishSeen: 0,
    newest: null,
    newestAt: a.now,
    heardAt: a.now,
    pastIncarnations: [],
    otherPathUp: false,
    losses: [],
    quarantinedUntil: null,
    panicRestart: null,
    power: 'mains',
    powerSince: a.now,
    stoppedForPower: false,
    businessUp: true,
    redirected: false,
    lending: false,
    watchdogArmed: false,
    watchdogProblem: null,
    faults: [],
    mustQualify: a.mustQualify ?? false,
    qualification: null,
    level: a.level ?? 3,
    toldLevel: null,
    moving: null,
    stop: null,
    compatibleVersions: a.compatibleVersions ?? [],
    toldDiverged: false,
    toldVersion: null,
    diskRefused: null,
    yieldRow: null,
    diskFailed: null,
    scrubbing: false,
    quarantined: [],
    wokeAt: null,
  };
}

export interface Step {
  state: State;
  commands: Command[];
}

/** A step under way: handlers change `state` (its own copy) and append commands. */
export interface Work {
  state: State;
  commands: Command[];
}

/** On the way of a restarted process to the guest that outlived it. Elsewhere its engine was ended, or is nobody's. */
const MAY_ADOPT: readonly PhaseKind[] = ['isolated', 'claiming', 'starting'];

/** A guest that is being shut down to move may lose the partner meanwhile: then it starts here again. */
const MAY_MOVE: readonly PhaseKind[] = ['duplex', 'claiming', 'acting', 'running'];

/** Enters a phase: the partner is told at the end of the step. */
export function enter(work: Work, kind: PhaseKind, note: string, more: Partial<Phase> = {}): void {
  const { state } = work;
  if (!MAY_ADOPT.includes(kind)) state.adoptable = false;
  if (!MAY_MOVE.includes(kind)) state.moving = null;
  state.phase = { kind, since: state.now, busy: null, claim: null, next: null, note, ...more };
  state.revision++;
}

/**
 * A change-over: the command is ordered, and its own end leads to `next`. The end of another one, that was overtaken, leads nowhere:
 * a takeover that fails late must not start a guest on a copy that was given up meanwhile.
 */
export function act(
  work: Work,
  command: Extract<Command, { kind: 'stopAll' | 'takeOver' | 'continueAlone' | 'abandonPartner' }>,
  next: PhaseKind,
  note: string,
): void {
  enter(work, 'acting', note, { next, busy: command.kind });
  work.commands.push(command);
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
