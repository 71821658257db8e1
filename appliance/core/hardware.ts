// What the hardware's faults mean for the pair (rows 12, 16, 17).
//
// faults/ judges, where the hardware is read; here only its outcome acts. The partner's faults count as much as one's own: a workload
// is never moved from a bad server to one that is no better.
import { onDiskFailed } from './copies.ts';
import { CATALOGUE } from './faults/catalogue.ts';
import { describe, effectOf, entryOf, type PartnerFault } from './faults/told.ts';
import type { Fault } from './faults/types.ts';
import { enter, type PhaseKind, type State, type Work } from './state.ts';
import { recordYield } from './yields.ts';

const keyOf = (f: PartnerFault): string => `${f.code} ${f.where}`;

/** `faults`: all that there are now, the worst first. */
export function onFaults(work: Work, faults: readonly Fault[]): void {
  const { state, commands } = work;
  const before = new Map(state.faults.map((f) => [keyOf(f), f]));
  const now = new Set(faults.map(keyOf));
  const raised = faults.filter((f) => !before.has(keyOf(f)));
  const cleared = state.faults.filter((f) => !now.has(keyOf(f)));
  state.faults = faults;
  if (raised.length + cleared.length > 0) state.revision++;
  for (const fault of raised) {
    const { severity, remedy } = CATALOGUE[fault.code];
    commands.push({ kind: 'record', severity, row: ROW[effectOf(fault)], text: `${describe(fault)}. ${remedy}` });
  }
  for (const fault of cleared) commands.push({ kind: 'record', severity: 'info', row: null, text: `It is over: ${describe(fault)}.` });
  const broken = raised.find((f) => effectOf(f) === 'uncorrectable');
  if (broken) {
    endServer(work, describe(broken));
    return;
  }
  const lost = raised.find((f) => effectOf(f) === 'detachDisk');
  if (lost && state.record.standing !== 'simplex') onDiskFailed(work, describe(lost));
  // The guest has no other copy: what is said of a disk is no reason to stop it. A request of it that fails is (row 26, by the mirror).
  else if (lost)
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '12',
      text: 'The only good copy of the disk is on this CoServer: it is used until a request of it really fails. Make the partner equal soon.',
    });
}

/** Phases in which the record says duplex, and the partner can go on. While it is claimed, or alone, it cannot. */
const YIELDS_FROM: ReadonlySet<PhaseKind> = new Set(['duplex', 'secondary', 'ready', 'committing']);

const ROW = { none: null, preFail: '16', uncorrectable: '17', detachDisk: '12' } as const;

function endServer(work: Work, reason: string): void {
  const { commands } = work;
  commands.push({
    kind: 'record',
    severity: 'critical',
    row: '17',
    text: `This server can no longer be trusted and ends itself: ${reason}.`,
  });
  commands.push({ kind: 'freeze' });
  // A partner that follows goes on by this word at once: no arbiter is needed, and this server, started again in seconds, has nothing to insist on.
  if (work.state.partnerHeard && YIELDS_FROM.has(work.state.phase.kind)) recordYield(work, { row: '17' });
  enter(work, 'failed', reason, { busy: 'endServer' });
  commands.push({ kind: 'endServer', reason });
}

/** Row 16: an early sign here, and none at the partner. */
export function signToMoveFor(state: State): Fault | null {
  // A disk that says that it has failed is one where it was not detached: while the only good copy was here.
  const sign = state.faults.find((f) => ['preFail', 'detachDisk'].includes(effectOf(f)));
  const partnerIsWell = !(state.partner?.faults ?? []).some((f) => (entryOf(f.code)?.effect ?? 'none') !== 'none');
  return sign && partnerIsWell ? sign : null;
}
