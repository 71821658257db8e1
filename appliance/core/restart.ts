// After a restart nothing runs here until the record, the partner and the arbiter agree that it may (rows 10, 21 to 23, 25).
//
// The memory of the guest is gone on this side, so it never insists: a partner that still has the guest is yielded to. Nobody uses
// `fence` or `named` to start alone unless its own record says that it was the simplex owner.
import { claim, leaseLeft } from './arbitration.ts';
import { enter, type PartnerStatus, persist, type Work } from './state.ts';
import { isShared, stopOutdated } from './yields.ts';

/** The witness client connects while this process boots; one that is not there by then is asked all the same. */
const WITNESS_ANSWERS_WITHIN_MS = 1_000;

export function tickRestart(work: Work): void {
  const { state } = work;
  if (state.phase.kind === 'isolated') decide(work);
  if (state.phase.kind === 'standby') bothYielded(work);
  if (state.phase.kind !== 'acting' && state.phase.kind !== 'steppingDown') findDivergence(work);
}

/** Two simplex owners cannot come from one history: an operator's force made two. Nothing is merged, nothing is overwritten. */
function findDivergence(work: Work): boolean {
  const { state, commands } = work;
  const { partner, record } = state;
  if (record.standing !== 'simplex' || partner?.record.standing !== 'simplex') return false;
  if (state.phase.kind === 'diverged' || state.toldDiverged) return true;
  state.toldDiverged = true;
  const runsHere = state.phase.kind === 'running' || state.phase.kind === 'starting' || state.phase.kind === 'resyncing';
  commands.push({
    kind: 'record',
    severity: 'critical',
    row: '25',
    text: `Two histories: this CoServer owns generation ${record.generation}, ${partner.coServer} owns ${partner.record.generation}. Neither is overwritten; choose which one goes on.`,
  });
  if (!runsHere)
    enter(work, 'diverged', `two histories: generation ${record.generation} here, ${partner.record.generation} on ${partner.coServer}`);
  return true;
}

function decide(work: Work): void {
  const { state, commands } = work;
  const { record, partner, phase } = state;
  const waited = state.now - phase.since;
  if (findDivergence(work)) return;
  if (record.maintenance) {
    enter(work, 'standby', 'out for maintenance');
    return;
  }
  if (record.standing === 'simplex' && partner?.record.standing === 'outdated' && partner.record.generation > record.generation) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '25',
      text: `The partner gave its history up, which had reached generation ${partner.record.generation}: the one here goes on above it.`,
    });
    persist(work, { generation: partner.record.generation });
    return;
  }
  if (partner && partner.record.generation > record.generation && partner.record.standing !== 'fresh') {
    if (record.standing !== 'outdated' && record.standing !== 'fresh' && record.standing !== 'inconsistent')
      persist(work, { standing: 'outdated', wasPrimary: false });
    enter(work, 'standby', `the partner has generation ${partner.record.generation}`);
    return;
  }
  switch (record.standing) {
    case 'fresh':
      if (!partner) return;
      if (partner.record.standing === 'fresh' && state.me === 'A') firstStart(work);
      else enter(work, 'standby', 'new, waits to be made equal');
      return;
    case 'outdated':
    case 'inconsistent':
      enter(work, 'standby', `its copy is ${record.standing}`);
      return;
    case 'simplex':
      if (state.adoptable) {
        commands.push({
          kind: 'record',
          severity: 'warning',
          row: null,
          text: 'This process restarted under the running guest and takes it up again.',
        });
        enter(work, 'starting', 'the guest still runs here', { busy: 'adoptGuest' });
        commands.push({ kind: 'adoptGuest', generation: record.generation });
      } else if (record.workloadOff) enter(work, 'off', 'the workload is switched off');
      else if (partner || waited >= state.timing.restartGraceMs)
        claim(
          work,
          'start',
          record.arbiter === 'witness' ? 'witness' : 'none',
          partner ? '21' : '22',
          'it was the recorded simplex owner',
          0,
        );
      return;
    case 'duplexPrimary':
    case 'duplexSecondary':
      if (state.adoptable) takeUp(work, waited);
      else if (partner) bothReturned(work, partner);
      else if (waited >= state.timing.restartGraceMs) {
        if (record.arbiter === 'witness')
          claim(work, 'start', 'witness', '23', 'the partner did not return, and its last state was duplex', leaseLeft(state, waited));
        else
          enter(work, 'claiming', 'its last state was duplex: the partner may have gone on', {
            claim: {
              goal: 'start',
              by: 'none',
              row: '23',
              why: 'the partner did not return',
              askAt: state.now,
              asked: true,
              unreachableSince: state.now,
            },
          });
        if (record.arbiter !== 'witness')
          commands.push({
            kind: 'record',
            severity: 'critical',
            row: '23',
            text: 'The partner is not heard, and may have gone on while this CoServer was off: it waits for the partner or the operator.',
          });
      }
      return;
  }
}

/**
 * This process restarted under the primary's guest, which has not lost anything: its output and its disk wait for this process. Asked
 * for at once, as after any loss of the partner: at level 2 that one waits for the lease, and what it would start has lost its memory.
 */
function takeUp(work: Work, waitedMs: number): void {
  const { state } = work;
  const why = 'this process restarted under the running guest';
  if (state.record.arbiter === 'witness') {
    if (!state.witness.ok && waitedMs < WITNESS_ANSWERS_WITHIN_MS) return;
    claim(work, 'start', 'witness', '2', why, 0);
    return;
  }
  // After a restart nobody grants itself anything: the partner's yield, its return, or the operator.
  const { now } = state;
  enter(work, 'claiming', why, {
    claim: { goal: 'start', by: 'none', row: '2', why, askAt: now, asked: true, unreachableSince: now },
  });
}

/** Both new: B holds nothing and never starts by itself, so its word "new" is as good as a yield if there is no witness. */
function firstStart(work: Work): void {
  const { state } = work;
  if (state.witness.configured && (state.witness.ok || state.now - state.phase.since < state.timing.restartGraceMs)) {
    if (state.witness.ok) claim(work, 'start', 'witness', '21', 'both CoServers are new, A leads', 0);
    return;
  }
  claim(work, 'start', 'none', '21', 'both CoServers are new, A leads', 0);
}

/** Both were duplex, and this side restarted. */
function bothReturned(work: Work, partner: PartnerStatus): void {
  const { state } = work;
  const { record } = state;
  if (partner.phase !== 'isolated' && partner.phase !== 'standby' && !(partner.phase === 'claiming' && partner.asksYield)) {
    // Still running or asking over there: it decides by its own rules, and this side will see a newer generation or be asked to yield.
    return;
  }
  const isEqualClaim = isShared(state) && (partner.record.standing === 'duplexPrimary' || partner.record.standing === 'duplexSecondary');
  const leads = !isEqualClaim || record.standing === 'duplexPrimary';
  if (!leads) {
    // The primary's copy has everything this one has, and perhaps more.
    if (partner.phase === 'isolated' || partner.phase === 'standby' || partner.phase === 'claiming') {
      work.commands.push({
        kind: 'record',
        severity: 'info',
        row: '21',
        text: 'Both CoServers are back after both were down: the partner was the primary and leads, this CoServer yields.',
      });
      stopOutdated(work, 'the partner was the primary');
    }
    return;
  }
  if (partner.record.standing === 'outdated' || partner.record.standing === 'inconsistent' || partner.record.standing === 'fresh') {
    claim(work, 'start', record.arbiter === 'witness' && state.witness.ok ? 'witness' : 'none', '21', 'both were down, this copy leads', 0);
    return;
  }
  // The partner sees the same and yields.
}

/**
 * Both yielded in the same moment, so neither went on, and neither will: the primary's copy leads. No arbiter is asked. Both words are
 * durable, and the witness may have granted the next generation to a side that yielded before the answer came.
 */
function bothYielded(work: Work): void {
  const { state } = work;
  const { record, partner } = state;
  if (
    record.standing === 'outdated' &&
    record.wasPrimary &&
    !record.maintenance &&
    state.diskFailed === null &&
    partner?.phase === 'standby' &&
    partner.record.standing === 'outdated' &&
    partner.record.generation === record.generation &&
    !partner.record.wasPrimary
  )
    claim(work, 'start', 'none', '21', 'both sides had yielded, this copy leads', 0);
}
