// May the operator do this now? Accepted, or the sentence that stands next to the grey button.
import { applyPin, effectiveMode } from './modes.ts';
import { enter, type OutputMode, persist, type State, type Work } from './state.ts';

export type Verdict = { allowed: true } | { allowed: false; reason: string };

/** Every action an operator may ask for, with its label. */
export const ACTIONS: { name: string; label: string }[] = [
  { name: 'shutdown-guest', label: 'Shut the guest down' },
  { name: 'start-guest', label: 'Start the guest' },
  { name: 'pin-lockstep', label: 'Always lockstep' },
  { name: 'pin-passive', label: 'Always passive' },
  { name: 'automatic-mode', label: 'Let Twinstep choose' },
];

export function mayRequest(s: State, action: string): Verdict {
  const no = (reason: string): Verdict => ({ allowed: false, reason });
  const kind = s.phase.kind;
  switch (action) {
    case 'shutdown-guest':
      if (kind === 'duplex' || kind === 'running') return { allowed: true };
      if (kind === 'secondary') return no('The primary runs on the other CoServer: ask there.');
      if (kind === 'off') return no('The guest is off already.');
      return no('Possible when the guest runs and no resync or takeover is under way.');
    case 'start-guest':
      if (kind === 'off' || kind === 'failed') return { allowed: true };
      return no('The guest is not switched off here.');
    case 'pin-lockstep':
    case 'pin-passive':
    case 'automatic-mode':
      if (!s.canCompare) return no('This pair is configured as passive (checkpoint.mode): its replicas are not compared.');
      if (kind === 'secondary' || kind === 'ready') return no('The primary runs on the other CoServer: ask there.');
      if (kind !== 'duplex' && kind !== 'running') return no('Possible when the guest runs and no resync or takeover is under way.');
      return s.record.pinnedMode === pinOf(action) ? no('It is so already.') : { allowed: true };
    default:
      return no(`There is no action '${action}'.`);
  }
}

export function onOperator(work: Work, action: string): void {
  const { state, commands } = work;
  const verdict = mayRequest(state, action);
  if (!verdict.allowed) {
    commands.push({ kind: 'record', severity: 'info', row: null, text: `Refused '${action}': ${verdict.reason}` });
    return;
  }
  commands.push({ kind: 'record', severity: 'info', row: '28', text: `The operator asked: ${action}.` });
  switch (action) {
    case 'shutdown-guest':
      enter(work, 'steppingDown', 'the guest is being shut down');
      return;
    case 'start-guest':
      persist(work, { workloadOff: false });
      state.adoptable = false;
      enter(work, 'isolated', 'the operator asked for the guest to start');
      return;
    default: {
      const before = effectiveMode(state);
      persist(work, { pinnedMode: pinOf(action) });
      applyPin(work, before);
    }
  }
}

function pinOf(action: string): OutputMode | null {
  if (action === 'automatic-mode') return null;
  return action === 'pin-lockstep' ? 'lockstep' : 'passive';
}
