// The protected workload: from a guest that runs alone to two replicas, one small step each time both sides are ready.
//
// Repair is level-driven: each side looks at its own phase and at what the partner says of itself, and takes the next
// step when both fit. A step that fails is undone as a whole (abandon the partner, run on alone) and tried again later,
// with a growing pause. The order at the end is the one that matters: the primary records "duplex" (it may then no
// longer go on without a grant) before the secondary does (it may then take over), and only then READY is released.
import { firstArbiter } from './arbiters.ts';
import { claimAfterLoss, onFenced, onPartnerGone } from './arbitration.ts';
import { beginAudit, broken } from './audit.ts';
import { onAdopted } from './copies.ts';
import { beginModes } from './modes.ts';
import { movedOff } from './moves.ts';
import { panicOver, STABLE_MS, whyNotRestart } from './panics.ts';
import { whyNotQualified } from './qualification.ts';
import { fitsLevel, whyNotJoin } from './rejoin.ts';
import { goSimplex } from './simplex.ts';
import {
  act,
  type Command,
  type CommandName,
  type Event,
  enter,
  NO_AUDIT,
  type PartnerStatus,
  type PhaseKind,
  persist,
  setRetry,
  type Work,
} from './state.ts';
import { inWords } from './words.ts';
import { stopOutdated } from './yields.ts';

/** Phases in which this CoServer runs the guest as the primary. */
export const PRIMARY_PHASES: readonly PhaseKind[] = [
  'starting',
  'running',
  'resyncing',
  'protecting',
  'committing',
  'duplex',
  'steppingDown',
];

/** One more could only fail for the same reason. */
const START_ATTEMPTS = 3;
const GUEST_IS_OFF = 'The guest shut itself down. The workload is off until you start it.';

export function tickWorkload(work: Work): void {
  const { state } = work;
  const { phase, partner, record } = state;
  if (
    (phase.kind === 'protecting' || (phase.kind === 'resyncing' && phase.busy)) &&
    (partner?.phase === 'standby' || partner?.phase === 'isolated')
  ) {
    onPartnerGone(work, 'the partner gave up');
    return;
  }
  if (phase.busy) return;
  switch (phase.kind) {
    case 'starting':
      // After a crash: the pause before the next attempt is over.
      if (state.now < state.retryAt) return;
      if (state.adoptable) {
        state.phase = { ...phase, busy: 'adoptGuest' };
        work.commands.push({ kind: 'adoptGuest', generation: record.generation });
        return;
      }
      state.phase = { ...phase, busy: 'startGuest' };
      work.commands.push({ kind: 'startGuest', generation: record.generation });
      return;
    case 'running': {
      if (state.failures > 0 && state.now - phase.since >= STABLE_MS) state.failures = 0;
      if (partner?.phase !== 'standby' || partner.record.standing === 'simplex' || state.now < state.retryAt) return;
      if (whyNotJoin(work) !== null) return;
      const isSame = partner.record.generation === record.generation;
      // It gave up a history with the same or a higher number (row 25): this one goes on above it, so that no word of it fits any more.
      if (partner.record.generation > record.generation || (isSame && partner.record.standing === 'outdated'))
        persist(work, { generation: partner.record.generation + 1 });
      enter(work, 'resyncing', 'the partner is ready to be made equal');
      return;
    }
    case 'resyncing':
      if (partner?.diskFailed) enter(work, 'running', "the partner's disk failed");
      else if (partner?.phase === 'target') start(work, 'resync');
      return;
    case 'protecting':
      if (partner?.phase === 'incoming') start(work, 'protect');
      return;
    case 'committing':
      if (partner?.record.standing !== 'duplexSecondary' || partner.record.generation !== record.generation) return;
      if (state.level === 2) {
        if (partner.phase === 'secondary') mirrored(work);
      } else if (partner.phase === 'ready') start(work, 'releaseReady');
      return;
    case 'diverged':
      // The partner's history was given up: its durable word is a yield.
      if (!partner || partner.record.standing === 'simplex') return;
      persist(work, { generation: Math.max(record.generation, partner.record.generation) });
      goSimplex(work, 'start', '25', 'the history of the partner was given up');
      return;
    case 'standby':
      if (record.keep !== null) {
        if (state.now < state.retryAt) return;
        state.phase = { ...phase, busy: 'keepHistory' };
        work.commands.push({ kind: 'keepHistory', generation: record.keep });
        return;
      }
      if (!partner || record.maintenance || state.diskFailed !== null || state.now < state.retryAt) return;
      // A word from before the partner went above this side's generation: the next one follows.
      if (partner.record.generation < record.generation) return;
      if (state.stop || whyNotQualified(state) !== null || !fitsLevel(work, partner)) return;
      if (partner.phase === 'resyncing' && partner.record.standing === 'simplex') {
        persist(work, {
          generation: partner.record.generation,
          standing: 'inconsistent',
          arbiter: partner.record.arbiter,
          workloadOff: partner.record.workloadOff,
          pinnedMode: partner.record.pinnedMode,
        });
        start(work, 'openTarget');
      }
      return;
    case 'target':
      if (!partner) return;
      if (partner.phase === 'protecting') start(work, 'openIncoming');
      else if (state.level === 2 && mayFollow(work, partner)) start(work, 'confirmCopy');
      else if (GIVES_UP.includes(partner.phase)) backToStandby(work, 'the partner gave up making this copy equal');
      return;
    case 'incoming':
      if (!partner) return;
      if (partner.phase === 'committing' && partner.record.standing === 'duplexPrimary' && phase.note === READY_HELD) {
        recordSecondary(work, partner);
        enter(work, 'ready', 'equal: waits for the first interval');
      } else if (partner.phase === 'running' || partner.phase === 'isolated') backToStandby(work, 'the partner gave up the protection');
      return;
    case 'secondary':
    case 'ready':
      if (partner?.phase === 'steppingDown' && phase.kind === 'secondary') {
        persist(work, { standing: 'outdated', wasPrimary: false });
        start(work, 'leaveLockstep');
      }
      return;
    case 'steppingDown':
      // The partner's yield first: until then this side may not let output go by itself.
      if (record.standing === 'duplexPrimary') {
        if (partner?.record.standing !== 'outdated' || partner.record.generation !== record.generation) return;
        persist(work, { standing: 'simplex', generation: record.generation + 1 });
      }
      if (phase.next === 'off') {
        const text = 'The partner has yielded: what ran here is ended, and nobody starts the guest until you do.';
        work.commands.push({ kind: 'record', severity: 'info', row: null, text });
        act(work, { kind: 'stopAll', reason: 'the guest shut down' }, 'off', 'the guest shut down');
      } else start(work, 'shutDownGuest');
      return;
    default:
      return;
  }
}

/** Of a partner that was to make this copy equal. Claiming: its process restarted, and it waits for this side's word. */
const GIVES_UP: readonly PhaseKind[] = ['running', 'isolated', 'off', 'claiming'];
const READY_HELD = 'holds the whole state of the guest';

/** The primary's record says duplex; its generation may be a newer one than when this copy was opened. */
function mayFollow({ state: { record } }: Work, partner: PartnerStatus): boolean {
  return partner.phase === 'committing' && partner.record.standing === 'duplexPrimary' && partner.record.generation >= record.generation;
}

function recordSecondary(work: Work, partner: PartnerStatus): void {
  persist(work, { generation: partner.record.generation, standing: 'duplexSecondary', arbiter: partner.record.arbiter });
  // A primary that restarted counts its wishes anew: an answer to an earlier one must not fit a new one.
  work.state.wishSeen = 0;
}

/** Level 2: the partner's copy is recorded as equal, and every write goes to both. */
function mirrored(work: Work): void {
  const { state, commands } = work;
  enter(work, 'duplex', 'the disk is mirrored');
  state.audit = { ...NO_AUDIT, since: state.now };
  commands.push({
    kind: 'record',
    severity: 'info',
    row: null,
    text: `The disk is mirrored, as generation ${state.record.generation}: if this server fails, the guest is restarted on the other one.`,
  });
}

/** From here on this side may not go on alone without a grant: the record first, then the partner's. */
function recordPrimary(work: Work, note: string): void {
  persist(work, { standing: 'duplexPrimary', arbiter: firstArbiter(work.state) });
  enter(work, 'committing', note);
}

function backToStandby(work: Work, reason: string): void {
  // What is wrong with the disk was said already, and is tried again for as long as it takes.
  if (work.state.diskRefused === null)
    work.commands.push({ kind: 'record', severity: 'warning', row: null, text: `Stops following the partner: ${reason}.` });
  act(work, { kind: 'stopAll', reason }, 'standby', reason);
}

type Simple = Extract<
  CommandName,
  'resync' | 'protect' | 'releaseReady' | 'openTarget' | 'openIncoming' | 'confirmCopy' | 'leaveLockstep' | 'shutDownGuest'
>;

function start(work: Work, command: Simple): void {
  work.state.phase = { ...work.state.phase, busy: command };
  work.commands.push({ kind: command });
}

/** In-band news of the checkpoint stream, and its loss. */
export function onStream(work: Work, e: Extract<Event, { kind: 'streamLost' | 'readyHeld' | 'intervalsStarted' }>): void {
  const { state, commands } = work;
  const { phase } = state;
  switch (e.kind) {
    case 'readyHeld':
      if (phase.kind === 'protecting') {
        recordPrimary(work, 'the partner holds the whole state of the guest');
      } else if (phase.kind === 'incoming') state.phase = { ...phase, note: READY_HELD };
      return;
    case 'intervalsStarted':
      if (phase.kind === 'ready') {
        enter(work, 'secondary', 'runs the secondary replica');
        commands.push({
          kind: 'record',
          severity: 'info',
          row: null,
          text: 'The secondary replica runs here.',
        });
      }
      return;
    case 'streamLost':
      // Planned: the replica ends, and the stream with it. If the partner itself were lost, the links would say so.
      if (phase.kind === 'steppingDown' || phase.busy === 'leaveLockstep') return;
      if ((phase.kind === 'secondary' || phase.kind === 'ready') && e.cause !== 'channel' && !(e.byPartner && e.cause === 'engine')) {
        if (e.byPartner) {
          commands.push({
            kind: 'record',
            severity: 'critical',
            row: null,
            text: `The partner ended the ${e.stream} stream (${e.reason}): this CoServer yields and rejoins.`,
          });
          stopOutdated(work, e.reason);
        } else broken(work, 'streamBroke', e.reason);
        return;
      }
      if (phase.kind === 'duplex' && e.cause === 'stalled') {
        broken(work, 'streamBroke', e.reason);
        return;
      }
      if ((phase.kind === 'duplex' || phase.kind === 'committing') && e.cause === 'engine' && !e.byPartner && state.partnerPromotable) {
        // Most likely it has ended: then the secondary, which is well, goes on with the guest. If not, nobody else asks.
        commands.push({ kind: 'freeze' });
        claimAfterLoss(work, 'continue', `the engine here left the ${e.stream} stream: ${e.reason}`, state.timing.engineEndMs);
        return;
      }
      onPartnerGone(work, `the ${e.stream} stream broke: ${e.reason}`);
      return;
  }
}

export function onWorkload(work: Work, e: Extract<Event, { kind: 'engineExited' }>): void {
  const { state, commands } = work;
  const { record } = state;
  const kind = state.phase.kind;
  if (kind === 'secondary' || kind === 'ready') {
    broken(work, e.cause === 'guestPanic' ? 'guestPanic' : 'engineEnded', e.reason);
    return;
  }
  // The start itself fails then, and says more.
  if (kind === 'starting') return;
  if (kind === 'acting' && state.phase.next === 'running') {
    const isOff = e.cause === 'guestShutdown' && record.standing === 'simplex' && !state.moving;
    if (isOff) persist(work, { workloadOff: true });
    state.phase = { ...state.phase, next: isOff ? 'off' : 'starting' };
    // The first one here: a guest that was restarted for a panic has no partner yet that could have gone on.
    if (e.cause === 'guestPanic') whyNotRestart(work, e.reason);
    commands.push({
      kind: 'record',
      severity: isOff ? 'info' : 'critical',
      row: isOff ? null : '19',
      text: isOff ? GUEST_IS_OFF : `The guest ended meanwhile (${e.reason}) and is started again.`,
    });
    return;
  }
  if (
    kind === 'acting' ||
    kind === 'standby' ||
    kind === 'isolated' ||
    kind === 'off' ||
    kind === 'failed' ||
    kind === 'frozen' ||
    kind === 'diverged'
  )
    return;
  if (kind === 'target' || kind === 'incoming') {
    backToStandby(work, `the replica that was being prepared ended: ${e.reason}`);
    return;
  }
  if (state.level === 2 && e.cause === 'guestShutdown' && (kind === 'duplex' || kind === 'committing' || kind === 'steppingDown')) {
    if (state.moving && record.standing === 'duplexPrimary') {
      movedOff(work);
      return;
    }
    if (record.standing === 'duplexPrimary') {
      // No replica does the same: the partner would start what was switched off. It yields first, as for any planned end.
      persist(work, { workloadOff: true });
      commands.push({ kind: 'record', severity: 'info', row: null, text: GUEST_IS_OFF });
      enter(work, 'steppingDown', 'the guest shut itself down', { next: 'off' });
      return;
    }
  }
  if (e.cause === 'guestShutdown' && PRIMARY_PHASES.includes(kind) && record.standing === 'simplex' && !state.moving) {
    // Shut down for lack of mains: nobody switched the workload off, and it starts again when mains is back, also after a restart.
    if (!state.stoppedForPower) {
      persist(work, { workloadOff: true });
      commands.push({ kind: 'record', severity: 'info', row: null, text: GUEST_IS_OFF });
    } else
      commands.push({
        kind: 'record',
        severity: 'info',
        row: '27',
        text: 'The guest has shut itself down; it starts again when mains is back.',
      });
    act(work, { kind: 'stopAll', reason: 'the guest shut down' }, 'off', 'the guest shut down');
    return;
  }
  if (kind === 'duplex' || kind === 'committing' || kind === 'claiming' || record.standing === 'duplexPrimary') {
    const hasAsked = state.phase.claim?.goal !== 'continue' || state.phase.claim.asked;
    if (
      (kind === 'claiming' && (hasAsked || !state.partnerPromotable)) ||
      (record.standing === 'duplexPrimary' && !state.partnerPromotable)
    ) {
      // Nobody else may be able to go on: whoever is granted starts the guest again from its copy.
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '19',
        text: `The engine ended (${e.reason}) while it was undecided who may run.`,
      });
      commands.push({ kind: 'freeze' });
      claimAfterLoss(work, 'start', e.reason, 0, '19');
      return;
    }
    // Also when the guest switched itself off: the partner goes on from the last checkpoint and does the same, alone.
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: e.cause === 'guestPanic' ? '19' : null,
      text: `The engine ended (${e.reason}): this CoServer yields to the partner.`,
    });
    stopOutdated(work, e.reason);
    return;
  }

  const why = e.cause === 'guestPanic' ? whyNotRestart(work, e.reason) : null;
  if (why !== null) {
    commands.push({ kind: 'record', severity: 'critical', row: '19', text: why });
    act(work, { kind: 'stopAll', reason: e.reason }, 'failed', why);
    return;
  }
  // Alone: the guest crashed with nobody to go on. Restart it, with a growing pause.
  commands.push({ kind: 'record', severity: 'critical', row: '19', text: `The guest ended (${e.reason}) and is started again.` });
  setRetry(work);
  act(work, { kind: 'stopAll', reason: e.reason }, 'starting', e.reason);
}

/** A background command ended. Late answers of a phase that is over are ignored: phase.busy no longer names them. */
/** What is not the business of a phase. */
const BLOCK_FAILURES: Partial<Record<CommandName, { row: string; text: string }>> = {
  repairBlock: { row: '14', text: 'A block of the disk could not be repaired' },
  quarantineBlock: { row: '15', text: 'A block of the disk could not be kept from the guest' },
  chooseBlock: { row: '15', text: 'The block stays as it is' },
  scrub: { row: '15', text: 'Comparing the copies' },
};

export function onFinished(work: Work, command: CommandName, ok: boolean, reason: string): void {
  const { state, commands } = work;
  const { phase } = state;
  if (command === 'fence') {
    onFenced(work, ok, reason);
    return;
  }
  if (command === 'armWatchdog') {
    state.watchdogProblem = ok ? null : reason;
    return;
  }
  if (command === 'powerOnPartner') {
    if (!ok)
      commands.push({
        kind: 'record',
        severity: 'warning',
        row: null,
        text: `The partner could not be switched on again: ${reason}. Switch it on when its fault is mended.`,
      });
    return;
  }
  if (command === 'adoptDisk') {
    onAdopted(work, ok, reason);
    return;
  }
  const failure = BLOCK_FAILURES[command];
  if (failure !== undefined) {
    if (!ok) commands.push({ kind: 'record', severity: 'critical', row: failure.row, text: `${failure.text}: ${reason}.` });
    return;
  }
  if (phase.kind === 'acting') {
    if (command === phase.busy) acted(work, command, ok, reason);
    return;
  }
  if (phase.busy !== command) {
    // By force from an older copy: the operator wants the guest, with its restore point or without.
    if (command === 'keepHistory') commands.push(keptRecord(ok, reason, ''));
    return;
  }
  state.phase = { ...phase, busy: null };
  if (!ok) {
    failed(work, command, reason);
    return;
  }
  switch (command) {
    case 'startGuest':
    case 'adoptGuest':
      state.adoptable = false;
      panicOver(work);
      enter(work, 'running', 'the guest runs here, alone');
      return;
    case 'openTarget':
      enter(work, 'target', 'is being made equal');
      return;
    case 'resync':
      commands.push({ kind: 'record', severity: 'info', row: null, text: `The disks are equal: ${reason}.` });
      if (state.level === 2) recordPrimary(work, 'the disks are equal');
      else enter(work, 'protecting', 'the disks are equal; the memory follows');
      return;
    case 'confirmCopy':
      // What the partner was when it was asked for, it may not be any more.
      if (!state.partner || !mayFollow(work, state.partner)) {
        backToStandby(work, 'the partner went on alone');
        return;
      }
      recordSecondary(work, state.partner);
      enter(work, 'secondary', "follows the primary's writes");
      commands.push({ kind: 'record', severity: 'info', row: null, text: 'The copy of the disk here is equal and follows every write.' });
      return;
    case 'openIncoming':
      enter(work, 'incoming', "waits for the guest's memory");
      return;
    case 'releaseReady':
      enter(work, 'duplex', 'both replicas run');
      beginAudit(work);
      beginModes(work);
      commands.push({
        kind: 'record',
        severity: 'info',
        row: null,
        text: `Both replicas run, as generation ${state.record.generation}.`,
      });
      return;
    case 'keepHistory':
      state.failures = 0;
      commands.push(keptRecord(true, reason, ''));
      persist(work, { keep: null });
      enter(work, 'standby', 'its history is kept aside');
      return;
    case 'leaveLockstep':
      enter(work, 'target', "follows the primary's writes");
      return;
    case 'shutDownGuest':
      // Done once; the news of the engine's end follows.
      state.phase = phase;
      return;
    default:
      return;
  }
}

function keptRecord(ok: boolean, reason: string, more: string): Extract<Command, { kind: 'record' }> {
  const text = ok ? `The history here: ${reason || 'kept aside'}.` : `The history here could not be kept aside: ${reason}.${more}`;
  return { kind: 'record', severity: ok ? 'info' : 'critical', row: '25', text };
}

function acted(work: Work, command: CommandName, ok: boolean, reason: string): void {
  const { state, commands } = work;
  const next = state.phase.next ?? 'standby';
  if (!ok) {
    commands.push({ kind: 'record', severity: 'critical', row: null, text: `The step '${inWords(command)}' failed: ${reason}.` });
    if (command === 'takeOver' || command === 'continueAlone' || command === 'abandonPartner') {
      // The state of the guest is lost; its disk is not: start it again from this copy, which this side owns.
      act(work, { kind: 'stopAll', reason }, 'starting', reason);
      return;
    }
  }
  if (next === 'starting') enter(work, 'starting', 'starts again');
  // Why it failed is in the note already.
  else enter(work, next, next === 'failed' ? state.phase.note : reason || state.phase.note);
}

function failed(work: Work, command: CommandName, reason: string): void {
  const { state, commands } = work;
  setRetry(work);
  const again = Math.ceil((state.retryAt - state.now) / 1000);
  switch (command) {
    case 'startGuest':
    case 'adoptGuest': {
      state.adoptable = false;
      const isLast = state.failures >= START_ATTEMPTS;
      const next = isLast ? 'Start it again when the cause is mended.' : `Tried again in ${again} s.`;
      commands.push({ kind: 'record', severity: 'critical', row: null, text: `The guest does not start: ${reason}. ${next}` });
      enter(work, isLast ? 'failed' : 'starting', reason);
      return;
    }
    case 'resync':
    case 'protect':
      commands.push({ kind: 'record', severity: 'warning', row: null, text: `Protection failed: ${reason}. Tried again in ${again} s.` });
      act(work, { kind: 'abandonPartner', reason }, 'running', reason);
      return;
    case 'releaseReady':
      onPartnerGone(work, reason);
      return;
    case 'shutDownGuest':
      commands.push({ kind: 'record', severity: 'warning', row: null, text: `The guest did not shut down: ${reason}.` });
      if (state.moving) {
        // It runs on as it was, mirrored.
        state.moving = null;
        state.revision++;
        return;
      }
      act(work, { kind: 'abandonPartner', reason }, 'running', reason);
      return;
    case 'keepHistory': {
      const note = `its history could not be kept aside: ${reason}`;
      // Said once per reason: it is tried for as long as it takes.
      if (state.phase.note !== note) commands.push(keptRecord(false, reason, ' This CoServer stays out until it is.'));
      state.phase = { ...state.phase, note };
      state.revision++;
      return;
    }
    case 'openTarget':
    case 'openIncoming':
    case 'confirmCopy':
    case 'leaveLockstep':
      backToStandby(work, `${inWords(command)} failed: ${reason}`);
      return;
    default:
      return;
  }
}
