// What the engine and the streams between the replicas say by themselves: who goes on, who yields, what is started again.
//
//  the guest shut itself down   off, as it wanted; in lockstep the partner's replica does the same
//  the engine ended, in duplex  this side yields, the partner goes on
//  it ended, alone              started again, with a growing pause
//  a stream ended               judged by its cause: an engine, the channel, a stall
import { claimAfterLoss, onPartnerGone } from './arbitration.ts';
import { broken } from './audit.ts';
import { backToStandby, READY_HELD, recordPrimary } from './joint-steps.ts';
import { movedOff } from './moves.ts';
import { whyNotRestart } from './panics.ts';
import { act, type Event, enter, type PhaseKind, persist, setRetry, type Work } from './state.ts';
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

const GUEST_IS_OFF = 'The guest shut itself down. The workload is off until you start it.';

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
