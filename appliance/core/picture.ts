// What the state means, in the operator's words: redundancy, the sentences of both CoServers, what may fail now.

import { namedOf } from './arbiter-view.ts';
import { isProved } from './audit.ts';
import type { CopyState, CoServerName, CoServerView, ProtectionLevel, Redundancy, Role, WorkloadView } from './snapshot.ts';
import type { PartnerStatus, PhaseKind, ProtectedLevel, State } from './state.ts';

export interface Picture {
  redundancy: Redundancy;
  redundancySentence: string;
  singlePoints: string[];
  coServers: CoServerView[];
  workloadState: WorkloadView['state'];
  workloadSentence: string;
  level: ProtectionLevel;
}

const PRIMARY: readonly PhaseKind[] = ['starting', 'running', 'resyncing', 'protecting', 'committing', 'duplex', 'steppingDown'];
const SECONDARY: readonly PhaseKind[] = ['target', 'incoming', 'ready', 'secondary'];

export function roleOf(phase: PhaseKind, standing: State['record']['standing']): Role {
  if (PRIMARY.includes(phase)) return 'primary';
  if (SECONDARY.includes(phase)) return 'secondary';
  if (phase === 'frozen') return 'primary';
  if (phase === 'claiming' || phase === 'acting') {
    if (standing === 'duplexPrimary' || standing === 'simplex') return 'primary';
    if (standing === 'duplexSecondary') return 'secondary';
  }
  return 'none';
}

export function pictureOf(s: State): Picture {
  const other: CoServerName = s.me === 'A' ? 'B' : 'A';
  const mine: CoServerView = {
    name: s.me,
    present: true,
    role: roleOf(s.phase.kind, s.record.standing),
    phase: s.phase.kind,
    sentence: sentenceOf(s.phase.kind, s.phase.note, s.record.maintenance, s.level),
    generation: s.record.generation,
    copy: copyOf(s.record.standing, s.phase.kind),
    version: s.version,
    maintenance: s.record.maintenance,
    power: s.power,
    forced: isForced(s.record),
  };
  const theirs = partnerView(other, s.partner, s);
  const redundancy = redundancyOf(s);
  return {
    redundancy,
    redundancySentence: redundancySentence(s, redundancy, other),
    singlePoints: singlePoints(s, redundancy, other),
    coServers: s.me === 'A' ? [mine, theirs] : [theirs, mine],
    ...workloadOf(s, other),
    level: levelOf(s, redundancy),
  };
}

/** What a failure of a server would cost now, whatever is configured. Alone: a guest that ends is started again, on this server. */
function levelOf(s: State, redundancy: Redundancy): ProtectionLevel {
  if (redundancy === 'duplex') return s.level === 2 ? 'highlyAvailable' : 'faultTolerant';
  return redundancy === 'simplex' ? 'restart' : 'unprotected';
}

function redundancyOf(s: State): Redundancy {
  if (s.phase.kind === 'duplex') return isProved(s) ? 'duplex' : 'simplex';
  if (s.phase.kind === 'secondary') return s.partner?.proved ? 'duplex' : 'simplex';
  if (PRIMARY.includes(s.phase.kind)) return 'simplex';
  if (s.partner && PRIMARY.includes(s.partner.phase)) return s.partner.proved ? 'duplex' : 'simplex';
  return 'isolated';
}

function redundancySentence(s: State, redundancy: Redundancy, other: CoServerName): string {
  if (redundancy === 'duplex') return duplexSentence(s);
  switch (s.phase.kind) {
    case 'duplex':
    case 'secondary':
      return 'Both replicas run; protected from the moment the secondary has answered a probe.';
    case 'claiming':
      return claimSentence(s);
    case 'running':
      if (s.partner?.record.standing === 'simplex') return `Two histories: the workload runs on ${s.me}, and ${other} has another one.`;
      return `Simplex: the workload runs on ${s.me} alone; ${other} ${whyAlone(s)}.`;
    case 'resyncing':
      return `Simplex: the workload runs on ${s.me}; the disk of ${other} is being made equal.`;
    case 'protecting':
    case 'committing':
      if (s.level === 2) return `Simplex: the workload runs on ${s.me}; the equal copy on ${other} is being recorded.`;
      return `Simplex: the workload runs on ${s.me}; its memory is being copied to ${other}.`;
    case 'starting':
      return `The workload is starting on ${s.me}.`;
    case 'off':
      return 'The workload is switched off. Both copies are kept.';
    case 'failed':
      return `The workload does not run: ${s.phase.note}`;
    case 'steppingDown':
      return 'The guest is being shut down.';
    case 'frozen':
      return 'Frozen: the only good copy of the disk cannot be used, and nothing older is served.';
    case 'diverged':
      return `Two histories: the workload does not run on ${s.me}. Neither is overwritten before you choose.`;
    default:
      if (s.record.maintenance)
        return `${s.me} is out for maintenance${redundancy === 'simplex' ? `: the workload runs on ${other} alone.` : '.'}`;
      if (redundancy === 'simplex') return `Simplex: the workload runs on ${other}; ${s.me} is rejoining.`;
      return s.partnerHeard
        ? 'Isolated: the two CoServers agree on who may run.'
        : `Isolated: ${other} is not heard, and this CoServer may not run alone yet.`;
  }
}

function whyAlone(s: State): string {
  if (!s.partnerHeard) return 'is not heard';
  if (s.partner?.record.maintenance) return 'is out for maintenance';
  if (s.quarantinedUntil !== null && s.now < s.quarantinedUntil) return 'is kept out';
  return 'is preparing to rejoin';
}

/** Two replicas run: what a loss costs depends on who decides then. */
function duplexSentence(s: State): string {
  const { record } = s;
  const alone = namedOf(record.arbiter);
  if (s.level === 2) return mirroredSentence(s, alone);
  if (alone) return `Duplex: if ${alone === 'A' ? 'B' : 'A'} fails now, clients notice nothing; if ${alone} fails, the other one freezes.`;
  if (record.arbiter === 'fence') return 'Duplex: either server may fail now; the other goes on when that one is switched off for certain.';
  return 'Duplex: either server may fail now, clients notice nothing.';
}

/** Level 2: what a loss costs depends on whose it is. */
function mirroredSentence(s: State, alone: CoServerName | null): string {
  const runs = s.phase.kind === 'secondary' ? (s.me === 'A' ? 'B' : 'A') : s.me;
  const other = runs === 'A' ? 'B' : 'A';
  if (s.moving) return `Level 2: the guest is shut down on ${runs}, to start on ${other}.`;
  const mirror = `Level 2: the guest runs on ${runs}, every write is on both servers.`;
  if (alone === runs) return `${mirror} If ${other} fails now, it runs on; if ${runs} fails, the other one freezes.`;
  if (alone === other) return `${mirror} If ${runs} fails now, it restarts on ${other}; if ${other} fails, it freezes.`;
  return `${mirror} If ${runs} fails now, it restarts on ${other} and clients connect again; if ${other} fails, they notice nothing.`;
}

function claimSentence(s: State): string {
  const {
    phase: { claim },
    record,
  } = s;
  if (claim && claim.unreachableSince !== null) {
    if (claim.by === 'witness')
      return 'Frozen: the partner is lost and the witness does not help. Output waits for either of them, or for you.';
    if (claim.by === 'fence')
      return 'Frozen: the partner is lost and cannot be switched off for certain. Output waits for it, for its management controller, or for you.';
    return claim.goal === 'start'
      ? 'Not started: the other CoServer may have gone on. This one waits for it, or for you.'
      : `Frozen: CoServer ${namedOf(record.arbiter) ?? ''} is the one that may go on by itself. Output waits for it, or for you.`;
  }
  if (claim?.by === 'fence' && !claim.asked)
    return 'Held: the partner is lost. If it lives it acts first; after that it is switched off through its management controller.';
  if (s.level === 2 && claim?.goal === 'takeOver' && !claim.asked)
    return `The partner is lost: the guest is started here in ${Math.max(0, Math.ceil((claim.askAt - s.now) / 1000))} s, when its watchdog has ended the other one for certain.`;
  return claim?.by === 'fence'
    ? 'Held: the partner is lost and is being switched off through its management controller.'
    : 'Held for a moment: the partner is lost, the witness is asked.';
}

function singlePoints(s: State, redundancy: Redundancy, other: CoServerName): string[] {
  const points: string[] = [];
  if (redundancy === 'simplex') {
    const runs = PRIMARY.includes(s.phase.kind) ? s.me : other;
    points.push(
      s.phase.kind === 'duplex' || s.phase.kind === 'secondary'
        ? `CoServer ${runs}: the other one has not proved yet that it could take over.`
        : `CoServer ${runs}: the workload runs there alone.`,
    );
  }
  const up = s.links.filter((l) => l.up).length;
  if (up === 1 && s.links.length > 1) {
    const down = s.links.findIndex((l) => !l.up);
    points.push(`Link ${up === 1 ? s.links.findIndex((l) => l.up) + 1 : 1}: link ${down + 1} is down, everything goes over it.`);
  }
  if (s.phase.kind === 'duplex' || s.phase.kind === 'secondary') {
    if (s.record.arbiter === 'witness' && !s.witness.ok)
      points.push('The witness is not reachable from here: if a server fails now, the other may wait for it.');
    if (s.record.arbiter === 'fence' && !s.fence.ok)
      points.push("The way to the partner's management controller is not proven: if it fails now, this CoServer freezes.");
    if (s.record.arbiter === 'fence' && s.partner?.arbiters.fence === false)
      points.push("The partner's way to the management controller here is not proven: if this CoServer fails now, the partner freezes.");
    const alone = namedOf(s.record.arbiter);
    if (alone) points.push(`CoServer ${alone}: it alone may go on by itself; if it fails, the other one waits.`);
  }
  return points;
}

/** What this CoServer knows better of the workload than its partner. */
const OWN: readonly PhaseKind[] = ['off', 'failed', 'frozen', 'diverged', 'claiming', 'acting'];

function workloadOf(s: State, other: CoServerName): { workloadState: WorkloadView['state']; workloadSentence: string } {
  const isOwn = OWN.includes(s.phase.kind) || PRIMARY.includes(s.phase.kind) || !s.partner;
  const kind = isOwn || !s.partner ? s.phase.kind : s.partner.phase;
  const where = PRIMARY.includes(s.phase.kind) ? s.me : other;
  switch (kind) {
    case 'duplex':
      if (s.level === 2) return { workloadState: 'running', workloadSentence: `Runs on ${where}; its disk is mirrored.` };
      return { workloadState: 'running', workloadSentence: `Runs on both; ${where} is the primary.` };
    case 'running':
    case 'resyncing':
      return { workloadState: 'running', workloadSentence: `Runs on ${where} alone.` };
    case 'protecting':
    case 'committing':
      if (s.level === 2) return { workloadState: 'running', workloadSentence: `Runs on ${where}; its disk is equal on both.` };
      return { workloadState: 'running', workloadSentence: `Runs on ${where}; its memory is being copied.` };
    case 'starting':
      return { workloadState: 'starting', workloadSentence: `Is starting on ${where}.` };
    case 'claiming':
      if (isOwn && s.phase.claim && s.phase.claim.unreachableSince !== null && s.phase.claim.goal !== 'start')
        return { workloadState: 'held', workloadSentence: 'Frozen: the guest is kept as it is, and nothing it says leaves.' };
      return { workloadState: 'held', workloadSentence: 'Held until it is certain who may run.' };
    case 'acting':
      return { workloadState: 'held', workloadSentence: 'Held until it is certain who may run.' };
    case 'steppingDown':
      return { workloadState: 'running', workloadSentence: 'Is being shut down.' };
    case 'off':
      return { workloadState: 'off', workloadSentence: 'Switched off.' };
    case 'failed':
      return { workloadState: 'failed', workloadSentence: s.phase.note };
    case 'frozen':
      return { workloadState: 'held', workloadSentence: `Frozen: ${s.phase.note}.` };
    case 'diverged':
      return { workloadState: 'stopped', workloadSentence: 'There are two histories: choose which one goes on.' };
    default:
      return { workloadState: 'stopped', workloadSentence: 'Does not run here.' };
  }
}

function partnerView(name: CoServerName, p: PartnerStatus | null, s: State): CoServerView {
  if (!p) {
    const sentence = s.partnerHeard ? 'Is heard, but has not said yet what it is.' : 'Is not heard on any link.';
    return {
      name,
      present: s.partnerHeard,
      role: 'none',
      phase: s.partnerHeard ? 'connecting' : 'silent',
      sentence,
      generation: 0,
      copy: unheardCopy(s),
      version: '',
      maintenance: false,
      power: 'mains',
      forced: false,
    };
  }
  return {
    name,
    present: true,
    role: roleOf(p.phase, p.record.standing),
    phase: p.phase,
    sentence: sentenceOf(p.phase, '', p.record.maintenance, p.level),
    generation: p.record.generation,
    copy: copyOf(p.record.standing, p.phase),
    version: p.version,
    maintenance: p.record.maintenance,
    power: p.power,
    forced: isForced(p.record),
  };
}

function isForced({ forced, standing }: State['record']): boolean {
  return forced && standing === 'simplex';
}

/** What is known of the copy of a partner that is not heard. */
function unheardCopy(s: State): CopyState {
  return s.record.standing === 'simplex' ? 'outdated' : 'unknown';
}

function copyOf(standing: State['record']['standing'], phase: PhaseKind): CopyState {
  switch (standing) {
    case 'fresh':
      return 'unknown';
    case 'simplex':
    case 'duplexPrimary':
    case 'duplexSecondary':
      return 'upToDate';
    case 'outdated':
      return phase === 'target' ? 'upToDate' : 'outdated';
    case 'inconsistent':
      return 'inconsistent';
  }
}

function sentenceOf(phase: PhaseKind, note: string, maintenance: boolean, level: ProtectedLevel): string {
  const more = note ? ` (${note})` : '';
  if (level === 2) {
    if (phase === 'duplex') return 'Runs the guest; every write goes to both copies.';
    if (phase === 'secondary') return 'Follows every write, ready to start the guest.';
  }
  switch (phase) {
    case 'isolated':
      return `Decides whether it may run${more}.`;
    case 'claiming':
      return `Withholds output until it is certain who may run${more}.`;
    case 'starting':
      return 'Starts the guest.';
    case 'running':
      return 'Runs the guest alone.';
    case 'resyncing':
      return "Runs the guest and makes the partner's disk equal.";
    case 'protecting':
      return 'Runs the guest and copies its memory to the partner.';
    case 'committing':
      return 'Hands the partner the right to take over.';
    case 'duplex':
      return 'Runs the primary replica.';
    case 'standby':
      if (maintenance) return 'Neither joins nor starts before the operator brings it back.';
      return `Waits to be made equal${more}.`;
    case 'target':
      return 'Its disk is being made equal.';
    case 'incoming':
      return "Takes in the guest's memory.";
    case 'ready':
      return 'Holds everything; the first interval follows.';
    case 'secondary':
      return 'Runs the secondary replica, ready to take over.';
    case 'acting':
      return `Changes over${more}.`;
    case 'steppingDown':
      return 'Shuts the guest down.';
    case 'off':
      return 'The workload is switched off.';
    case 'failed':
      return `Does not run the workload${more}.`;
    case 'frozen':
      return `Frozen: the guest is kept and nothing leaves${more}.`;
    case 'diverged':
      return `Waits for the operator's choice${more}.`;
  }
}
