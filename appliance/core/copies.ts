// The two copies of the disk, as far as they decide who runs: a disk that fails (12, 26), a disk that is not this pair's, blocks that one copy has lost (14), blocks
// that differ (15); and the business network beside them, which may be dead where the disk is alive (13).
import { claim, onPartnerGone } from './arbitration.ts';
import { act, type Event, enter, never, type PhaseKind, type Work } from './state.ts';
import { stopOutdated } from './yields.ts';

export function onDiskFailed(work: Work, reason: string): void {
  const { state, commands } = work;
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
    case 'resyncing':
    case 'protecting':
      // The guest waits for a write that both copies should have: it gets its error when the partner is let go.
      failed('12', `The disk here failed while the partner was being made equal: ${reason}.`);
      onPartnerGone(work, `the local disk failed: ${reason}`);
      return;
    case 'running':
    case 'starting':
      failed(
        '26',
        `The disk of the only CoServer with a good copy failed: ${reason}. The guest is frozen; the older copy of the partner is never used by itself.`,
      );
      commands.push({ kind: 'freeze' });
      // A guest that is just being started has nothing to keep, and its late start must not pass for one that is ordered anew.
      if (state.phase.kind === 'starting') act(work, { kind: 'stopAll', reason }, 'frozen', `the local disk failed: ${reason}`);
      else enter(work, 'frozen', `the local disk failed: ${reason}`);
      return;
    case 'claiming':
      failed('12', `The disk here failed while it was undecided who may run: ${reason}.`);
      if (state.phase.claim && !state.phase.claim.asked) stopOutdated(work, `the local disk failed: ${reason}`);
      return;
    default:
      failed('12', `The local disk failed: ${reason}.`);
  }
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

export function onBlock(work: Work, e: Extract<Event, { kind: 'blockUnreadable' | 'copiesDiffer' }>): void {
  const { state, commands } = work;
  const { kind } = state.phase;
  // Only the side that serves the guest repairs: the other one is told by the same stream.
  if (kind !== 'duplex' && kind !== 'resyncing' && kind !== 'protecting' && kind !== 'running') return;
  const at = `at byte ${e.offset}`;
  if (e.kind === 'blockUnreadable') {
    if (kind === 'running') {
      commands.push({ kind: 'record', severity: 'critical', row: '14', text: `A block ${at} of the only good copy cannot be read.` });
      return;
    }
    const from = e.side === 'own' ? 'partner' : 'own';
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '14',
      text: `A block ${at} of the ${e.side === 'own' ? 'copy here' : "partner's copy"} cannot be read: it is served and repaired from the other copy.`,
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
      });
      commands.push({ kind: 'repairBlock', offset: e.offset, from: e.fits });
      return;
    case 'neither':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '15',
        text: `The copies differ ${at}, and neither fits its checksum: reads and writes of that block wait. Choose which copy is right.`,
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
  claim(work, 'start', record.arbiter === 'witness' ? 'witness' : 'none', '26', 'the operator starts the guest again from this copy', 0);
}
