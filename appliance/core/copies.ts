// The two copies of the disk, as far as they decide who runs: a disk that fails (12, 26) or is not this pair's, blocks that one copy has
// lost (14), blocks that differ (15); and the business network beside them, which may be dead where the disk is alive (13).
import { claim } from './arbitration.ts';
import { act, type Event, enter, never, type PhaseKind, type State, type Work } from './state.ts';
import { stopOutdated } from './yields.ts';

/**
 * A disk that failed stays out until the operator wants it tried again, or a restart: it is not joined and lost in turn. One failure is
 * told once, however many requests met it.
 */
export function onDiskFailed(work: Work, reason: string): void {
  const { state, commands } = work;
  if (state.diskFailed !== null) return;
  state.diskFailed = reason;
  state.revision++;
  const failed = (row: string, text: string) => commands.push({ kind: 'record', severity: 'critical', row, text });
  switch (state.phase.kind) {
    case 'duplex':
    case 'committing':
      // Durable first; then the partner, whose copy is whole, goes on from its last commit.
      failed('12', `The disk here failed (${reason}): the workload moves to the partner, whose copy is whole.`);
      stopOutdated(work, `the local disk failed: ${reason}`, { row: '12' });
      return;
    case 'secondary':
    case 'ready':
      failed('12', `The disk here failed (${reason}): this copy is dropped; the workload runs on at the partner.`);
      stopOutdated(work, `the local disk failed: ${reason}`, { row: '12' });
      return;
    case 'running':
      freezeOnly(work, reason);
      return;
    case 'resyncing':
    case 'protecting':
    case 'starting':
      // A partner that is being made equal has no good copy yet. Let go of by the mirror here, the guest would get its error: it is stopped with
      // what was done for the partner, and is started anew when the disk is well. Also one that is just being started is: its late start must
      // not pass for one that is ordered anew.
      failed('26', onlyFailed(reason, 'stopped'));
      commands.push({ kind: 'freeze' });
      act(work, { kind: 'stopAll', reason }, 'frozen', `the local disk failed: ${reason}`);
      return;
    case 'claiming':
      failed('12', `The disk here failed while it was undecided who may run: ${reason}.`);
      if (!state.phase.claim || state.phase.claim.asked) return;
      // Of the only good copy: it is not given up for it.
      if (state.record.standing === 'simplex') {
        commands.push({ kind: 'freeze' });
        enter(work, 'frozen', `the local disk failed: ${reason}`);
      } else stopOutdated(work, `the local disk failed: ${reason}`);
      return;
    case 'target':
    case 'incoming':
      failed('12', `The disk here failed while it was being made equal (${reason}): this copy is dropped.`);
      act(work, { kind: 'stopAll', reason }, 'standby', `the local disk failed: ${reason}`);
      return;
    default:
      failed('12', `The local disk failed: ${reason}.`);
  }
}

/** Row 26: the guest runs from the only good copy, and that one's disk has failed. It is said to nobody, and kept as it is. */
export function freezeOnly(work: Work, reason: string): void {
  work.commands.push({ kind: 'record', severity: 'critical', row: '26', text: onlyFailed(reason, 'frozen') }, { kind: 'freeze' });
  enter(work, 'frozen', `the local disk failed: ${reason}`);
}

function onlyFailed(reason: string, guest: 'frozen' | 'stopped'): string {
  return `The disk of the only CoServer with a good copy failed: ${reason}. The guest is ${guest}; the older copy of the partner is never used by itself.`;
}

/** Said once: it is tried again and again, so that the right disk needs no word of the operator. */
export function onDiskJudged(work: Work, refusal: string | null): void {
  const { state, commands } = work;
  if (refusal === state.diskRefused) return;
  state.diskRefused = refusal;
  state.revision++;
  const text = refusal === null ? "The disk here is this pair's, and is used." : `The disk here is not used: ${refusal}.`;
  commands.push({ kind: 'record', severity: refusal === null ? 'info' : 'critical', row: null, text });
}

export function onAdopted(work: Work, ok: boolean, reason: string): void {
  const { state, commands } = work;
  const text = ok ? 'The disk here is adopted: it is compared as a whole.' : `The disk here could not be adopted: ${reason}.`;
  commands.push({ kind: 'record', severity: ok ? 'warning' : 'critical', row: null, text });
  if (!ok) return;
  state.diskRefused = null;
  state.retryAt = state.now;
  state.revision++;
}

/** The operator says that the disk here is well again, or was replaced. What it holds is believed only as far as a restart would. */
export function tryDisk(work: Work): void {
  const { state } = work;
  state.diskFailed = null;
  state.failures = 0;
  state.retryAt = state.now;
  state.revision++;
}

export function onCopies({ state, commands }: Work, e: Extract<Event, { kind: 'copiesObserved' }>): void {
  const healed = state.quarantined.filter((offset) => !e.quarantined.includes(offset));
  // More than the list holds: one that is not on it may only have made room for another.
  if (e.quarantined.length < QUARANTINED_SHOWN)
    for (const offset of healed)
      commands.push({
        kind: 'record',
        severity: 'info',
        row: '15',
        text: `The block at byte ${offset} is served again: both copies of it are the same.`,
        series: 'served again',
      });
  state.scrubbing = e.scrubbing;
  state.quarantined = e.quarantined;
}

/** Of an event: more blocks than anybody chooses one by one. */
const QUARANTINED_SHOWN = 100;
/** Of them, so many have their buttons: the next ones follow when these are decided. */
export const QUARANTINED_OFFERED = 3;

/** 'keep-own-block-8192': which copy of which block the operator says is right. Null: no such action. */
export function choiceOf(action: string): { offset: number; keep: 'own' | 'partner' } | null {
  const found = /^keep-(own|partner)-block-(\d{1,16})$/.exec(action);
  return found ? { offset: Number(found[2]), keep: found[1] === 'own' ? 'own' : 'partner' } : null;
}

/** Where the guest runs, and may therefore be served another content. */
export function mayChoose(s: State, choice: { offset: number; keep: 'own' | 'partner' }): string | null {
  const { kind } = s.phase;
  if (!s.quarantined.includes(choice.offset)) return 'This block does not wait.';
  if (kind === 'secondary' || kind === 'ready') return 'The primary runs on the other CoServer: ask there.';
  if (kind === 'duplex') return null;
  if (choice.keep === 'partner') return 'Possible while the pair is duplex: the copy of the other CoServer is needed.';
  return kind === 'running' ? null : 'Possible when the guest runs and no resync or takeover is under way.';
}

export function onBlock(work: Work, e: Extract<Event, { kind: 'blockUnreadable' | 'copiesDiffer' }>): void {
  const { state, commands } = work;
  const { kind } = state.phase;
  // Only the side that serves the guest repairs: the other one is told by the same stream.
  if (kind !== 'duplex' && kind !== 'resyncing' && kind !== 'protecting' && kind !== 'running') return;
  const at = `at byte ${e.offset}`;
  if (e.kind === 'blockUnreadable') {
    // Not equal yet, the partner's copy is older: what it has there is not what was lost.
    if (kind === 'running' || (kind === 'resyncing' && e.side === 'own')) {
      const text = `A block ${at} of the only good copy cannot be read${kind === 'resyncing' ? ", and the partner's does not have it" : ''}: the guest gets an I/O error for it until it overwrites all of it.`;
      commands.push({ kind: 'record', severity: 'critical', row: '14', text, series: 'lost in the only copy' });
      return;
    }
    const from = e.side === 'own' ? 'partner' : 'own';
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '14',
      text: `A block ${at} of the ${e.side === 'own' ? 'copy here' : "partner's copy"} cannot be read: it is served and repaired from the other copy.`,
      series: `unreadable, ${e.side}`,
    });
    commands.push({ kind: 'repairBlock', offset: e.offset, from });
    return;
  }
  switch (e.fits) {
    case 'own':
    case 'partner':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '15',
        text: `The copies differ ${at} with no write in flight: ${e.fits === 'own' ? 'this' : "the partner's"} copy fits its checksum and repairs the other.`,
        series: `differs, ${e.fits}`,
      });
      commands.push({ kind: 'repairBlock', offset: e.offset, from: e.fits });
      return;
    case 'neither':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '15',
        text: `The copies differ ${at}, or neither can be read, and nothing tells which is right: the guest gets an I/O error for that block until it overwrites all of it, or you choose a copy.`,
        series: 'differs, neither',
      });
      commands.push({ kind: 'quarantineBlock', offset: e.offset });
      return;
    default:
      never(e.fits);
  }
}

/** Phases whose gate speaks for the guest. In the last two nothing is decided yet: it stays as it was. */
const OWNS_LAN: readonly PhaseKind[] = ['running', 'resyncing', 'protecting', 'committing', 'duplex', 'steppingDown'];
const UNDECIDED: readonly PhaseKind[] = ['claiming', 'acting'];
/** Phases whose business NIC is free for the partner. Also a secondary's: until the role has moved to it, its NIC may be the only one. */
const MAY_LEND: readonly PhaseKind[] = ['standby', 'target', 'incoming', 'ready', 'secondary'];

/** Level-driven: the guest's frames go over the partner's NIC while the own one is dead and the partner's is not. */
export function tickNetwork(work: Work): void {
  const { state, commands } = work;
  const { partner, phase } = state;
  const owns = OWNS_LAN.includes(phase.kind);
  const mayRedirect = owns || (state.redirected && UNDECIDED.includes(phase.kind));
  const redirected = mayRedirect && !state.businessUp && partner?.businessUp === true;
  if (redirected !== state.redirected) {
    state.redirected = redirected;
    state.revision++;
    if (redirected)
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '13',
        text: 'The business network is dead here: the guest is reached over the NIC of the partner.',
      });
    else if (owns && state.businessUp)
      commands.push({ kind: 'record', severity: 'info', row: '13', text: 'The guest is reached over the NIC of this CoServer again.' });
    else if (owns)
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '13',
        text: 'The business network is dead on both CoServers, or the partner is not heard: the guest is not reached.',
      });
    commands.push({ kind: 'redirectNetwork', through: redirected ? 'partner' : 'own' });
  }
  const lends = MAY_LEND.includes(phase.kind) && partner?.needsNic === true;
  if (lends === state.lending) return;
  state.lending = lends;
  commands.push({ kind: 'lendNetwork', lend: lends });
}

/** A disk that failed is back, or was replaced: the operator wants the guest of a frozen owner again. */
export function thaw(work: Work): void {
  const { record } = work.state;
  tryDisk(work);
  claim(work, 'start', record.arbiter === 'witness' ? 'witness' : 'none', '26', 'the operator starts the guest again from this copy', 0);
}
