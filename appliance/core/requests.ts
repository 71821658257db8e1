// May the operator do this now? Accepted, or the sentence that stands next to the grey button.

import { choiceOf, mayChoose, QUARANTINED_OFFERED, thaw, tryDisk } from './copies.ts';
import { applyPin, effectiveMode } from './modes.ts';
import { canMove, leave, moveByRestart, moveRole } from './moves.ts';
import { goSimplex } from './simplex.ts';
import { enter, type OutputMode, type PhaseKind, persist, type State, type Work } from './state.ts';
import { stopOutdated } from './yields.ts';

export type Verdict = { allowed: true } | { allowed: false; reason: string };

export interface Action {
  name: string;
  label: string;
  /** It can lose data: the operator types this word, and what it means stands beside it. */
  typed?: { word: string; meaning: string };
}

/** Every action an operator may ask for, with its label. Those of single blocks: actionsOf. */
export const ACTIONS: Action[] = [
  { name: 'shutdown-guest', label: 'Shut the guest down' },
  { name: 'start-guest', label: 'Start the guest' },
  { name: 'move-workload', label: 'Move the workload to the other CoServer' },
  { name: 'enter-maintenance', label: 'Take this CoServer out for maintenance' },
  { name: 'end-maintenance', label: 'Bring this CoServer back' },
  { name: 'let-rejoin', label: 'Let the partner rejoin now' },
  { name: 'try-disk', label: 'Use the disk here again' },
  { name: 'start-scrub', label: 'Compare both copies of the disk now' },
  { name: 'stop-scrub', label: 'Stop comparing the copies' },
  { name: 'pin-lockstep', label: 'Always lockstep' },
  { name: 'pin-passive', label: 'Always passive' },
  { name: 'automatic-mode', label: 'Let Twinstep choose' },
  {
    name: 'force-start',
    label: 'Start here by force',
    typed: {
      word: 'force',
      meaning: 'If the other CoServer runs on, unseen from here, there will be two histories, and one of them is lost.',
    },
  },
  {
    name: 'force-older-copy',
    label: 'Go back to the older copy here',
    typed: { word: 'older', meaning: 'This copy misses what was written since it left. What the other CoServer wrote meanwhile is lost.' },
  },
  {
    name: 'give-up-history',
    label: "Give this CoServer's history up",
    typed: { word: 'give up', meaning: 'This copy is kept aside and then made equal to the other CoServer, which goes on.' },
  },
  {
    name: 'adopt-disk',
    label: 'Adopt the disk that is here now',
    typed: {
      word: 'adopt',
      meaning: 'What is recorded of this disk is forgotten. Where the other CoServer runs the workload, all that is on the disk is lost.',
    },
  },
];

/** All of them as things stand. */
export function actionsOf(s: State): Action[] {
  return [...ACTIONS, ...s.quarantined.slice(0, QUARANTINED_OFFERED).flatMap(blockActions)];
}

function blockActions(offset: number): Action[] {
  const meaning = `The other copy of the block at byte ${offset} is overwritten, and nothing tells whether it was the right one.`;
  return [
    { name: `keep-own-block-${offset}`, label: `Block ${offset}: the copy here is right`, typed: { word: 'here', meaning } },
    {
      name: `keep-partner-block-${offset}`,
      label: `Block ${offset}: the other CoServer's copy is right`,
      typed: { word: 'other', meaning },
    },
  ];
}

/** Its label at this protection level: at level 2 a move costs the guest a restart, and says so. */
export function actionLabel({ level }: State, action: Action): string {
  if (level === 3) return action.label;
  if (action.name === 'move-workload') return 'Move the workload to the other CoServer (the guest restarts there)';
  if (action.name === 'enter-maintenance') return 'Take this CoServer out for maintenance (a guest that runs here restarts on the other)';
  return action.label;
}

/** Phases of a partner in which it runs the guest. */
const RUNS: readonly PhaseKind[] = ['starting', 'running', 'resyncing', 'protecting', 'committing', 'duplex', 'steppingDown'];

export function mayRequest(s: State, action: string): Verdict {
  const no = (reason: string): Verdict => ({ allowed: false, reason });
  const yes: Verdict = { allowed: true };
  const kind = s.phase.kind;
  switch (action) {
    case 'shutdown-guest':
      if (s.moving && kind === 'duplex') return no('It is being shut down already, to start on the other CoServer.');
      if (kind === 'duplex' || kind === 'running') return yes;
      if (kind === 'secondary') return no('The primary runs on the other CoServer: ask there.');
      if (kind === 'off') return no('The guest is off already.');
      return no('Possible when the guest runs and no resync or takeover is under way.');
    case 'start-guest':
      if (kind === 'off' || kind === 'failed' || kind === 'frozen') return yes;
      return no('The guest is not switched off here.');
    case 'move-workload':
      if (kind === 'secondary') return no('The primary runs on the other CoServer: ask there.');
      if (canMove(s)) return yes;
      if (s.moving) return no('It is on its way.');
      return no(
        s.level === 2
          ? 'Possible while the disk is mirrored on both CoServers.'
          : 'Possible while the pair is duplex and the secondary has proved that it can take over.',
      );
    case 'enter-maintenance':
      if (s.record.maintenance) return no('It is out already.');
      if (kind === 'secondary' || kind === 'standby' || canMove(s)) return yes;
      return no('Possible while the other CoServer can run the workload alone.');
    case 'end-maintenance':
      return s.record.maintenance ? yes : no('This CoServer is not out for maintenance.');
    case 'let-rejoin':
      return s.quarantinedUntil === null ? no('The partner is not kept out.') : yes;
    case 'pin-lockstep':
    case 'pin-passive':
    case 'automatic-mode':
      if (s.level === 2) return no('At protection level 2 one guest runs: there is nothing to compare.');
      if (!s.canCompare) return no('This pair is configured as passive (checkpoint.mode): its replicas are not compared.');
      if (kind === 'secondary' || kind === 'ready') return no('The primary runs on the other CoServer: ask there.');
      if (kind !== 'duplex' && kind !== 'running') return no('Possible when the guest runs and no resync or takeover is under way.');
      return s.record.pinnedMode === pinOf(action) ? no('It is so already.') : yes;
    case 'force-start':
    case 'force-older-copy':
      return mayForce(s, action === 'force-older-copy', no);
    case 'give-up-history':
      if (s.record.standing !== 'simplex' || s.partner?.record.standing !== 'simplex') return no('There is only one history.');
      if (kind === 'acting') return no('Possible when the change that is under way has ended.');
      return yes;
    case 'adopt-disk':
      if (s.diskRefused === null) return no("The disk here is this pair's.");
      if (s.phase.kind === 'acting' || s.phase.busy !== null) return no('Possible when the change that is under way has ended.');
      return yes;
    case 'try-disk':
      if (s.diskFailed === null) return no('The disk here has not failed.');
      return kind === 'standby' ? yes : no('Possible while this CoServer stands by.');
    case 'start-scrub':
      if (kind === 'secondary' || kind === 'ready') return no('The primary runs on the other CoServer: ask there.');
      if (kind !== 'duplex') return no('Possible while the pair is duplex: both copies are needed.');
      return s.scrubbing ? no('The copies are being compared already.') : yes;
    case 'stop-scrub':
      return s.scrubbing ? yes : no('The copies are not being compared now.');
    default: {
      const choice = choiceOf(action);
      if (!choice) return no(`There is no action '${action}'.`);
      const reason = mayChoose(s, choice);
      return reason === null ? yes : no(reason);
    }
  }
}

function mayForce(s: State, older: boolean, no: (reason: string) => Verdict): Verdict {
  const { phase, partner, record } = s;
  const waits =
    phase.kind === 'isolated' ||
    phase.kind === 'standby' ||
    (phase.kind === 'diverged' && !partner) ||
    (phase.kind === 'claiming' && phase.claim?.unreachableSince !== null);
  if (!waits) return no('Only for a CoServer that waits and cannot find out whether it may run.');
  // Seen over any path: the warning that is typed away speaks of one that is not seen.
  const seen = partner ?? (s.otherPathUp ? s.newest : null);
  if (seen && RUNS.includes(seen.phase)) return no('The other CoServer runs the workload.');
  if (record.standing === 'inconsistent') return no('The copy here is not whole: it was being made equal. Nothing can run on it.');
  if (record.standing === 'fresh') return no('There is nothing here to run.');
  if (older !== (record.standing === 'outdated'))
    return no(older ? 'The copy here is not an older one.' : 'The copy here is an older one: going back to it is a separate choice.');
  return { allowed: true };
}

export function onOperator(work: Work, action: string, by = ''): void {
  const { state, commands } = work;
  const verdict = mayRequest(state, action);
  if (!verdict.allowed) {
    commands.push({
      kind: 'record',
      severity: 'info',
      row: null,
      text: `Refused${by && `, asked at ${by}`}: ${labelOf(action)}. ${verdict.reason}`,
    });
    return;
  }
  commands.push({ kind: 'record', severity: 'info', row: null, text: `The operator asked${by && ` at ${by}`}: ${labelOf(action)}.` });
  switch (action) {
    case 'shutdown-guest':
      enter(work, 'steppingDown', 'the guest is being shut down');
      return;
    case 'start-guest':
      if (state.phase.kind === 'frozen') {
        thaw(work);
        return;
      }
      persist(work, { workloadOff: false });
      state.adoptable = false;
      state.stoppedForPower = false;
      state.panicRestart = null;
      enter(work, 'isolated', 'the operator asked for the guest to start');
      return;
    case 'move-workload':
      if (state.level === 2) {
        moveByRestart(work, 'move', '28', 'The guest is shut down here and started on the partner, as the operator asked.');
        return;
      }
      moveRole(work, '28', 'info', 'The workload moves to the partner, as the operator asked.');
      return;
    case 'enter-maintenance':
      if (state.phase.kind === 'standby') persist(work, { maintenance: true });
      else if (state.level === 2 && state.phase.kind === 'duplex')
        moveByRestart(
          work,
          'maintenance',
          '28',
          'The guest is shut down here and started on the partner: this CoServer leaves for maintenance.',
        );
      else leave(work);
      return;
    case 'end-maintenance':
      persist(work, { maintenance: false });
      commands.push({ kind: 'record', severity: 'info', row: '28', text: `CoServer ${state.me} is back from maintenance and rejoins.` });
      // Its record may say more than "outdated": decided anew, as after a restart.
      if (state.phase.kind === 'standby') enter(work, 'isolated', 'back from maintenance');
      return;
    case 'let-rejoin':
      state.quarantinedUntil = null;
      state.retryAt = state.now;
      return;
    case 'force-start':
    case 'force-older-copy':
      force(work, action === 'force-older-copy');
      return;
    case 'try-disk':
      tryDisk(work);
      return;
    case 'start-scrub':
    case 'stop-scrub':
      commands.push({ kind: 'scrub', run: action === 'start-scrub' });
      return;
    case 'give-up-history':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '25',
        text: `The operator chose the history of the other CoServer: generation ${state.record.generation} here is kept aside and given up.`,
      });
      stopOutdated(work, 'its history was given up', { keep: state.record.generation });
      return;
    case 'adopt-disk':
      commands.push({ kind: 'adoptDisk' });
      return;
    default: {
      const choice = choiceOf(action);
      if (choice) {
        commands.push({ kind: 'chooseBlock', ...choice });
        return;
      }
      const before = effectiveMode(state);
      persist(work, { pinnedMode: pinOf(action) });
      applyPin(work, before);
    }
  }
}

/** Always allowed where nobody else is seen to run, and always said: from here on there may be two histories. */
function force(work: Work, older: boolean): void {
  const { state, commands } = work;
  const { claim } = state.phase;
  commands.push({
    kind: 'record',
    severity: 'critical',
    row: null,
    text: `Started by force on CoServer ${state.me}, without any arbiter${older ? ', from the older copy' : ''}: the operator answers for it that the other CoServer does not run.`,
  });
  tryDisk(work);
  if (older) commands.push({ kind: 'keepHistory', generation: state.record.generation });
  persist(work, { maintenance: false, workloadOff: false });
  goSimplex(work, claim?.goal ?? 'start', claim?.by === 'witness' ? '7w' : '7', "the operator's force", true);
}

function labelOf(action: string): string {
  const choice = choiceOf(action);
  return [...ACTIONS, ...(choice ? blockActions(choice.offset) : [])].find((a) => a.name === action)?.label ?? action;
}

function pinOf(action: string): OutputMode | null {
  if (action === 'automatic-mode') return null;
  return action === 'pin-lockstep' ? 'lockstep' : 'passive';
}
