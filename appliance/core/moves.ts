// Planned changes of who runs: maintenance (28), early signs of failure (16), a server that can no longer be trusted (17), lack of
// mains (27), a business network that is dead on the primary only (13).
//
// Moving the role is a yield by the primary while both are well: it withholds output, records "outdated", and says so; the
// secondary takes over from the last commit. What was withheld never left, so the clients see a pause, and nothing is lost.

import { isProved } from './audit.ts';
import { describe } from './faults/told.ts';
import { signToMoveFor } from './hardware.ts';
import { act, type Event, enter, type Power, type State, type Work } from './state.ts';
import { stopOutdated } from './yields.ts';

/** May the primary hand over now? */
export function canMove(s: State): boolean {
  return s.phase.kind === 'duplex' && !s.moving && isProved(s) && s.partnerPromotable && s.partnerHeard && s.partner?.phase === 'secondary';
}

export function moveRole(work: Work, row: string, severity: 'info' | 'warning' | 'critical', text: string): void {
  work.commands.push({ kind: 'record', severity, row, text });
  stopOutdated(work, text, { row });
}

/**
 * Level 2: the memory of the guest cannot move. It is shut down in order while both copies still follow, and once it is off this side
 * yields; the partner starts it.
 */
export function moveByRestart(work: Work, why: 'move' | 'maintenance', row: string, text: string): void {
  const { state, commands } = work;
  commands.push({ kind: 'record', severity: 'info', row, text });
  state.moving = why;
  state.phase = { ...state.phase, busy: 'shutDownGuest', note: 'the guest is being shut down to start on the partner' };
  state.revision++;
  commands.push({ kind: 'shutDownGuest' });
}

/** The guest has shut itself down here to start on the partner. */
export function movedOff(work: Work): void {
  const { moving } = work.state;
  if (moving === 'maintenance') leave(work);
  else moveRole(work, '28', 'info', 'The guest is off here: the partner starts it.');
}

/** This CoServer leaves for maintenance: the workload runs on the other one. */
export function leave(work: Work): void {
  const { state, commands } = work;
  commands.push({
    kind: 'record',
    severity: 'info',
    row: '28',
    text: `CoServer ${state.me} is taken out for maintenance: the workload runs on the other one, watchdog and fencing leave this one alone.`,
  });
  stopOutdated(work, 'out for maintenance', { maintenance: true, row: '28' });
}

export function onUps(work: Work, e: Extract<Event, { kind: 'upsObserved' }>): void {
  const { state, commands } = work;
  const power: Power = e.onBattery ? (e.low ? 'low' : 'battery') : 'mains';
  if (power === state.power) return;
  if (state.power === 'mains' || power === 'mains') state.powerSince = state.now;
  state.power = power;
  state.revision++;
  commands.push({
    kind: 'record',
    severity: power === 'mains' ? 'info' : 'warning',
    row: '27',
    text:
      power === 'mains'
        ? 'Mains is back.'
        : power === 'battery'
          ? 'This CoServer runs on battery.'
          : 'This CoServer runs on battery, and the battery is nearly empty.',
  });
}

/** Level-driven: whoever should not be the primary hands over; who lacks mains leaves in order. */
export function tickMoves(work: Work): void {
  const { state } = work;
  const { partner } = state;
  tickPower(work);
  tickStop(work);
  if (!canMove(state) || !partner) return;
  if (state.level === 2) {
    // A move costs the guest a restart: only where it would not run on here anyway. Its frames may go over the partner's NIC.
    if (state.power === 'low' && partner.power === 'mains')
      moveByRestart(work, 'move', '27', 'The battery here is nearly empty, and the partner has mains: the guest is restarted there.');
    return;
  }
  const sign = signToMoveFor(state);
  if (sign) moveRole(work, '16', 'warning', `The workload moves to the partner before this server fails: ${describe(sign)}.`);
  else if (!state.businessUp && partner.businessUp)
    moveRole(work, '13', 'critical', 'The workload moves to the partner: the business network is dead on this CoServer.');
  else if (state.power === 'low' && partner.power === 'mains')
    moveRole(work, '27', 'critical', 'The workload moves to the partner: the battery here is nearly empty, and the partner has mains.');
}

/** This process is to end under a guest that runs on: what is shared with the partner ends in order first. */
export function onStopRequested({ state, commands }: Work): void {
  if (state.stop) return;
  state.stop = 'wanted';
  state.revision++;
  commands.push({ kind: 'record', severity: 'info', row: '28', text: 'This process was asked to end, to be started again.' });
}

function tickStop(work: Work): void {
  const { state, commands } = work;
  if (state.stop !== 'wanted') return;
  switch (state.phase.kind) {
    case 'duplex':
      // The partner's replica goes on without a gap. Otherwise it hears of it, yields, and this side goes on alone (arbitration.ts).
      if (state.level === 3 && canMove(state))
        moveRole(work, '28', 'info', 'The workload moves to the partner: the process here is restarted.');
      return;
    case 'secondary':
    case 'ready':
      commands.push({
        kind: 'record',
        severity: 'info',
        row: '28',
        text: 'This CoServer leaves in order: its process is restarted, and rejoins afterwards.',
      });
      stopOutdated(work, 'the process here is restarted', { row: '28' });
      return;
    case 'resyncing':
    case 'protecting':
      act(work, { kind: 'abandonPartner', reason: 'the process here is restarted' }, 'running', 'the process here is restarted');
      return;
    case 'target':
    case 'incoming':
      commands.push({ kind: 'record', severity: 'info', row: '28', text: 'Stops following the partner: the process here is restarted.' });
      act(work, { kind: 'stopAll', reason: 'the process here is restarted' }, 'standby', 'the process here is restarted');
      return;
    case 'committing':
    case 'acting':
    case 'steppingDown':
      return;
    case 'claiming':
      // A grant may be on its way. Frozen, it waits for somebody else, and may as well do so after the restart.
      if (state.phase.claim?.unreachableSince === null) return;
      break;
    case 'starting':
      // Cut short it would leave a guest that booted halfway for one that is well.
      return;
    default:
      break;
  }
  state.stop = 'ordered';
  commands.push({ kind: 'endProcess' });
}

function tickPower(work: Work): void {
  const { state, commands } = work;
  const { partner, phase, record } = state;
  if (state.power === 'mains') {
    if (!state.stoppedForPower || phase.kind !== 'off') return;
    state.stoppedForPower = false;
    commands.push({ kind: 'record', severity: 'info', row: '27', text: 'Mains is back: the workload starts again.' });
    enter(work, 'isolated', 'mains is back');
    return;
  }
  const partnerHasMains = partner !== null && partner.power === 'mains';
  if (partnerHasMains) return;
  const isUrgent = state.power === 'low' || partner?.power === 'low';
  // A partner that is not heard may have mains; alone, the battery is used up.
  if (!partner && !isUrgent) return;
  if (!isUrgent && state.now - state.powerSince < state.timing.batteryGraceMs) return;
  if (phase.kind === 'secondary') {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '27',
      text: 'Both CoServers run on battery: this one leaves first, the primary stops last.',
    });
    stopOutdated(work, 'both run on battery', { row: '27' });
    return;
  }
  // A small resync may end first; without much battery left nothing is waited for.
  const mayStop = phase.kind === 'running' || (isUrgent && (phase.kind === 'resyncing' || phase.kind === 'protecting'));
  if (!mayStop || record.standing !== 'simplex' || state.stoppedForPower) return;
  state.stoppedForPower = true;
  commands.push({
    kind: 'record',
    severity: 'critical',
    row: '27',
    text: 'On battery with nobody left to take over: the guest is shut down in order. It starts again when mains is back.',
  });
  enter(work, 'steppingDown', 'the guest is being shut down: both run on battery');
}
