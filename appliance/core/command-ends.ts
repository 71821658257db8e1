// A background command ended: what its phase does next, or how its failure is undone as a whole and tried again.
import { onFenced, onPartnerGone } from './arbitration.ts';
import { beginAudit } from './audit.ts';
import { onAdopted } from './copies.ts';
import { backToStandby, mayFollow, recordPrimary, recordSecondary } from './joint-steps.ts';
import { beginModes } from './modes.ts';
import { panicOver } from './panics.ts';
import { act, type Command, type CommandName, enter, persist, setRetry, type Work } from './state.ts';
import { inWords } from './words.ts';

/** One more could only fail for the same reason. */
const START_ATTEMPTS = 3;
/** What is not the business of a phase. */
const BLOCK_FAILURES: Partial<Record<CommandName, { row: string; text: string }>> = {
  repairBlock: { row: '14', text: 'A block of the disk could not be repaired' },
  quarantineBlock: { row: '15', text: 'A block of the disk could not be kept from the guest' },
  chooseBlock: { row: '15', text: 'The block stays as it is' },
  scrub: { row: '15', text: 'Comparing the copies' },
};

/** A background command ended. Late answers of a phase that is over are ignored: phase.busy no longer names them. */
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
    if (!ok)
      commands.push({ kind: 'record', severity: 'critical', row: failure.row, text: `${failure.text}: ${reason}.`, series: command });
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
      // It was opened anew, and serves.
      state.diskFailed = null;
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
