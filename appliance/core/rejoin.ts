// May the partner join again by itself? Not one that comes and goes (row 24), not one with other software (row 29), not one that
// the operator took out (row 28).

import { isSettling } from './panics.ts';
import { whyNotQualified } from './qualification.ts';
import type { PartnerStatus, State, Work } from './state.ts';

/** Planned rows: nobody failed. */
const PLANNED: readonly string[] = ['16', '27', '28', '31'];

/** A loss of the partner made this side go on alone. */
export function countLoss(work: Work, row: string): void {
  const { state, commands } = work;
  if (PLANNED.includes(row)) return;
  const { flapLosses, flapWindowMs, quarantineMs } = state.timing;
  const losses = [...state.losses, state.now].filter((at) => state.now - at < flapWindowMs).slice(-flapLosses);
  state.losses = losses;
  if (losses.length < flapLosses) return;
  state.quarantinedUntil = state.now + quarantineMs;
  state.losses = [];
  commands.push({
    kind: 'record',
    severity: 'critical',
    row: '24',
    text: `The partner was lost ${flapLosses} times within ${minutes(flapWindowMs)}: it does not rejoin by itself for ${minutes(quarantineMs)}. Find the cause, then let it rejoin.`,
  });
}

/** Null: it may join now. Otherwise why not, in words. Records a reason once. */
export function whyNotJoin(work: Work): string | null {
  const { state, commands } = work;
  const { partner } = state;
  if (!partner) return 'the partner is not heard';
  if (state.record.maintenance || partner.record.maintenance) return 'the partner is out for maintenance';
  if (partner.diskFailed) return "the partner's disk failed: when it is well again, ask there to use it";
  if (isSettling(state)) return 'the guest was restarted after a panic: it has to run for a minute first';
  // The lease stands on it.
  if (state.level === 2 && state.watchdogProblem) return `level 2 needs the watchdog here, which cannot be armed: ${state.watchdogProblem}`;
  if (state.stop) return 'the process here is restarted';
  if (partner.restarting) return "the partner's process is restarted";
  const unqualified = whyNotQualified(state);
  if (unqualified !== null) return unqualified;
  if (!fitsLevel(work, partner)) return `the partner is configured for protection level ${partner.level}, this CoServer for ${state.level}`;
  if (partner.record.keep !== null) return 'the partner keeps its own history aside first';
  if (state.quarantinedUntil !== null) {
    if (state.now < state.quarantinedUntil)
      return `the partner was lost too often: it rejoins in ${minutes(state.quarantinedUntil - state.now)}`;
    state.quarantinedUntil = null;
    commands.push({ kind: 'record', severity: 'info', row: '24', text: 'The quarantine is over: the partner may rejoin.' });
  }
  if (!fits(state, partner)) {
    if (state.toldVersion !== partner.version) {
      state.toldVersion = partner.version;
      commands.push({
        kind: 'record',
        severity: 'warning',
        row: '29',
        text: `The partner runs version ${partner.version}, this CoServer ${state.version}: these are not declared to run duplex together. Update the older one; it rejoins then.`,
      });
    }
    return `the partner runs version ${partner.version}, this CoServer ${state.version}`;
  }
  state.toldVersion = null;
  if (state.power !== 'mains' || partner.power !== 'mains') return 'a CoServer runs on battery';
  return null;
}

/** Records once that the two are configured for different levels. */
export function fitsLevel({ state, commands }: Work, partner: PartnerStatus): boolean {
  // A journal of a release that knew no other level says nothing of it.
  const level = partner.level ?? 3;
  if (level === state.level) {
    state.toldLevel = null;
    return true;
  }
  if (state.toldLevel !== level)
    commands.push({
      kind: 'record',
      severity: 'warning',
      row: null,
      text: `The partner is configured for protection level ${level}, this CoServer for ${state.level}: they do not run duplex. While an update of the pair goes on that is set right by itself. Otherwise set workload.level to the same in both configurations, and restart the process whose was changed.`,
    });
  state.toldLevel = level;
  return false;
}

/** Declared by either of them. */
function fits(state: State, { version, compatibleVersions }: PartnerStatus): boolean {
  return version === state.version || state.compatibleVersions.includes(version) || compatibleVersions.includes(state.version);
}

function minutes(ms: number): string {
  return ms >= 120_000 ? `${Math.round(ms / 60_000)} minutes` : `${Math.ceil(ms / 1000)} s`;
}
