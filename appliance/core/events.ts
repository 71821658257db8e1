// What can happen to a CoServer (Event) and what the core may order (Command): the whole seam between the pure core and the rest.
import type { Fault } from './faults/types.ts';
import type { DurableRecord, OutputMode } from './record.ts';
import type { IncidentView } from './snapshot.ts';
import type { PartnerStatus, Qualification } from './state.ts';

export type StreamName = 'memory' | 'disk' | 'network' | 'control';

/** engine: it left the stream; stalled: an answer did not come; stopped: ended on purpose; byPartner tells whose. */
export type StreamLossCause = 'engine' | 'protocol' | 'channel' | 'stalled' | 'stopped';

export type IncidentKind = IncidentView['kind'];

/** `at`: monotonic ms of this CoServer. Wall-clock time never decides. */
export type Event = { at: number } & (
  | { kind: 'tick' }
  // Partner and links
  | { kind: 'linkObserved'; link: number; up: boolean; silentMs: number }
  | { kind: 'partnerRestarted' }
  /** link: the control stream over the links. management: a signed datagram over another network; it proves nothing about the links. */
  | { kind: 'partnerSaid'; status: PartnerStatus; path: 'link' | 'management' }
  /** Authenticated exchanges over the management path work, or have been silent for seconds. */
  | { kind: 'otherPathObserved'; up: boolean }
  // Arbiters
  /** unconfirmed: the witness restarted or forgot, and must be re-enrolled by both sides or the simplex owner. */
  | { kind: 'arbiterAnswered'; generation: number; answer: 'granted' | 'refused' | 'unreachable' | 'unconfirmed'; reason: string }
  /** usable: it answers, and would decide a claim of this pair. */
  | { kind: 'witnessObserved'; usable: boolean; reason: string }
  /** proven: the partner's BMC answered a power reading, and the answer was true. */
  | { kind: 'fencePathObserved'; proven: boolean; reason: string }
  // Streams and engine
  | { kind: 'streamLost'; stream: StreamName; cause: StreamLossCause; byPartner: boolean; reason: string }
  | { kind: 'readyHeld' }
  | { kind: 'intervalsStarted' }
  | { kind: 'engineExited'; cause: 'guestShutdown' | 'guestPanic' | 'crash'; reason: string }
  // Audit and policy
  /** A probe's verdict on the replica (primary). `detail` in words. */
  | { kind: 'probed'; probe: string; outcome: 'answered' | 'missing' | 'different' | 'silent'; interval: number; detail: string }
  /** Secondary: its guest panicked and wants to reset itself; the engine lives on. */
  | { kind: 'replicaPanicked'; reason: string }
  /** A page of one replica's memory is not what it should be. */
  | { kind: 'pageDiffered'; detail: string }
  /** Since the last one, in frames: left by agreement, waited for a commit; checkpoints asked for because of differences. */
  | { kind: 'comparisonObserved'; agreed: number; waited: number; asked: number }
  // Hardware and surroundings
  | { kind: 'diskFailed'; reason: string }
  /** It was to be opened. refusal: why it is not used: another's, unknown, missing; null: it is this pair's. */
  | { kind: 'diskJudged'; refusal: string | null }
  /** One block of one copy cannot be read; the other copy has it. */
  | { kind: 'blockUnreadable'; offset: number; side: 'own' | 'partner' }
  /** The two copies of a block differ with no write in flight; whose stored checksum fits. */
  | { kind: 'copiesDiffer'; offset: number; fits: 'own' | 'partner' | 'neither' }
  /** What the mirror knows of the copies, whenever it changes: the comparison of both runs; blocks in quarantine, at most 100. */
  | { kind: 'copiesObserved'; scrubbing: boolean; quarantined: readonly number[] }
  /** All faults of this server's hardware that there are now, the worst first. Whenever one is raised or cleared. */
  | { kind: 'faultsObserved'; faults: readonly Fault[] }
  /** May these two servers run in lockstep? At each start, and when the partner tells what it is made of. */
  | { kind: 'qualificationJudged'; qualification: Qualification | null }
  | { kind: 'businessNicObserved'; up: boolean }
  | { kind: 'upsObserved'; onBattery: boolean; low: boolean }
  | { kind: 'lateTick'; lateMs: number }
  | { kind: 'clockJumped'; byMs: number }
  // Operator, and the ends of commands
  /** by: at which console, in words. */
  | { kind: 'operatorRequested'; action: string; by?: string }
  /** This process is asked to end, and will be started again: for an update, or a change of its configuration. */
  | { kind: 'stopRequested' }
  | { kind: 'commandFinished'; command: CommandName; ok: boolean; reason: string }
);

/**
 * Ordered. `persist`, `freeze`, `say` and `record` are barriers: what stands behind them waits until they have ended. The others
 * run in the background and return as `commandFinished`.
 */
export type Command =
  | { kind: 'persist'; record: DurableRecord }
  /** Withhold output and the acknowledgements of writes at once. */
  | { kind: 'freeze' }
  /** Tell the partner what we are now, on every path. */
  | { kind: 'say'; status: PartnerStatus }
  /**
   * One line of the history. row: the applied row of the decision table; evidence: what this CoServer knew when it was applied; series:
   * lines of one series may come by the hundred: the first is told, what follows soon is counted.
   */
  | { kind: 'record'; severity: 'info' | 'warning' | 'critical'; row: string | null; text: string; evidence?: string[]; series?: string }
  /** A replica was found broken: kept with its evidence, and told the partner. */
  | { kind: 'incident'; incident: IncidentKind; sentence: string }
  | { kind: 'setMode'; mode: OutputMode }
  | { kind: 'claim'; generation: number }
  /** Switch the partner off through its BMC, and end well only when it is verified off: read back twice, and the carrier gone. */
  | { kind: 'fence'; generation: number }
  /** What was switched off for certain may be well: it boots, finds that it was left behind, and rejoins. */
  | { kind: 'powerOnPartner' }
  | { kind: 'armWatchdog'; armed: boolean }
  /** row, reason: at level 2 this is the takeover. */
  | { kind: 'startGuest'; generation: number; row?: string; reason?: string }
  | { kind: 'adoptGuest'; generation: number }
  | { kind: 'resync' }
  | { kind: 'protect' }
  | { kind: 'releaseReady' }
  | { kind: 'openTarget' }
  | { kind: 'openIncoming' }
  /** Level 2: this copy is equal to the primary's and follows its writes; fails when that is not certain. */
  | { kind: 'confirmCopy' }
  | { kind: 'takeOver'; generation: number; row: string; reason: string }
  | { kind: 'continueAlone'; generation: number; row: string; reason: string }
  /** Primary, never duplex: forget the partner and run on. */
  | { kind: 'abandonPartner'; reason: string }
  /** Stop what runs here: engine killed, held output dropped, export closed. */
  | { kind: 'stopAll'; reason: string }
  | { kind: 'shutDownGuest' }
  /** Secondary, planned: stop the replica, apply everything, stay the target of the primary's writes. */
  | { kind: 'leaveLockstep' }
  /** Keep this CoServer's copy as it is under the name of its generation, before anything may overwrite it. */
  | { kind: 'keepHistory'; generation: number }
  /** Where the guest runs: its frames over the own business NIC, or over the partner's (which lends it). */
  | { kind: 'redirectNetwork'; through: 'own' | 'partner' }
  | { kind: 'lendNetwork'; lend: boolean }
  /** The operator's word: the disk that is there is this pair's, whatever is recorded of it. */
  | { kind: 'adoptDisk' }
  | { kind: 'repairBlock'; offset: number; from: 'own' | 'partner' }
  /** No copy of the block can be trusted: reads and writes of it wait until the operator chooses. */
  | { kind: 'quarantineBlock'; offset: number }
  /** The operator says which copy of a quarantined block is right: the other one is made equal, and the block is served again. */
  | { kind: 'chooseBlock'; offset: number; keep: 'own' | 'partner' }
  /** Compare both copies, or stop doing so. */
  | { kind: 'scrub'; run: boolean }
  /** This server can no longer be trusted: end the engine and this process at once. */
  | { kind: 'endServer'; reason: string }
  /** What was asked for with stopRequested: nothing depends on this process any more. */
  | { kind: 'endProcess' };

export type CommandName = Command['kind'];
