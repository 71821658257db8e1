// Who may run. A CoServer that loses its partner while duplex withholds output at once and asks the arbiter of its generation;
// only a grant, made durable, lets it go on. A refused one stops, durably outdated, and rejoins.
//
// Going simplex is: grant of (generation g -> g+1), then the record {simplex, g+1} on the own disk, then output. The grant is
//   witness: its compare-and-set;   fence: the partner verified off;   named: being the one that is named;
//   always: the partner's own durable yield ("outdated at g"), over any path, or the operator's force.
// Which kind is valid is in the record (arbiters.ts). What a CoServer does after a restart is in restart.ts.
import { goSimplex } from './simplex.ts';
import {
  act,
  type ClaimGoal,
  type ClaimState,
  enter,
  named,
  never,
  type PartnerStatus,
  type PhaseKind,
  persist,
  type State,
  type Work,
} from './state.ts';
import { inWords } from './words.ts';
import { hasYielded, isShared, mayYield, newerRow, stopOutdated, yieldRowOf } from './yields.ts';

/** The partner is silent, restarted, or a stream to it broke: the two no longer run as one. */
export function onPartnerGone(work: Work, why: string): void {
  const { state, commands } = work;
  switch (state.phase.kind) {
    case 'committing':
    case 'duplex':
      commands.push({ kind: 'freeze' });
      claimAfterLoss(work, 'continue', why, 0);
      return;
    case 'ready':
    case 'secondary':
      if (state.record.standing !== 'duplexSecondary') {
        // It has yielded already, in a planned stop: it never claims again.
        commands.push({
          kind: 'record',
          severity: 'warning',
          row: null,
          text: `The partner was lost while it shut the guest down: ${why}.`,
        });
        act(work, { kind: 'stopAll', reason: why }, 'standby', why);
        return;
      }
      commands.push({ kind: 'freeze' });
      claimAfterLoss(work, 'takeOver', why, state.timing.secondaryBiasMs);
      return;
    case 'resyncing':
    case 'protecting':
      commands.push({
        kind: 'record',
        severity: 'warning',
        row: null,
        text: `Making the partner equal was interrupted: ${why}. The workload runs on here.`,
      });
      state.retryAt = state.now + state.timing.retryMs;
      act(work, { kind: 'abandonPartner', reason: why }, 'running', why);
      return;
    case 'steppingDown':
      if (state.record.standing !== 'duplexPrimary') return;
      commands.push({ kind: 'freeze' });
      // Switched off already: whoever is granted only records it.
      claimAfterLoss(work, state.phase.next === 'off' ? 'start' : 'continue', why, 0);
      return;
    case 'target':
    case 'incoming':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: null,
        text: `The partner was lost while this copy was being made equal (${why}): this copy must not be used.`,
      });
      act(work, { kind: 'stopAll', reason: why }, 'standby', why);
      return;
    default:
      return;
  }
}

/**
 * After a loss while duplex, on a side that has not restarted since: by the arbiter that is valid for this generation.
 * @param delayMs before it is asked at the earliest.
 * @param row the applied row where it is not the arbiter's own.
 */
export function claimAfterLoss(work: Work, goal: ClaimGoal, why: string, delayMs: number, row: string | null = null): void {
  const { state } = work;
  const { record, timing } = state;
  const isSecondary = record.standing === 'duplexSecondary';
  // A claim that is made anew, because the engine ended meanwhile, has waited already.
  const waited = state.phase.kind === 'claiming' ? state.now - state.phase.since : 0;
  const leaseMs = leaseLeft(state, waited);
  switch (record.arbiter) {
    case 'witness':
      claim(work, goal, 'witness', row ?? (state.partnerHeard ? '2' : '5'), why, Math.max(delayMs, leaseMs));
      return;
    case 'fence': {
      // No lease: what is verified off does not speak when it wakes.
      const bias = isSecondary ? Math.max(0, timing.fenceBiasMs - waited) : 0;
      const forYield = state.partnerHeard ? timing.yieldWithinMs : 0;
      const applied = row ?? (wasWitnessLost(state) ? '9' : '6');
      claim(work, goal, 'fence', applied, why, Math.max(delayMs, bias, forYield));
      if (bias >= 1_000)
        work.commands.push({
          kind: 'record',
          severity: 'critical',
          row: applied,
          text: `Held for ${Math.round(bias / 1000)} s: if the partner lives it acts first. After that it is switched off through its management controller.`,
        });
      return;
    }
    case 'namedA':
    case 'namedB': {
      const applied = row ?? (wasWitnessLost(state) ? '9' : '6n');
      if (record.arbiter === named(state.me)) {
        claim(work, goal, 'none', applied, why, Math.max(delayMs, leaseMs));
        return;
      }
      claim(work, goal, 'none', applied, why, 0);
      const { phase } = state;
      if (phase.claim) state.phase = { ...phase, claim: { ...phase.claim, asked: true } };
      freezeUnarbitrated(work, `the other CoServer is the one that may go on alone (${inWords(record.arbiter)})`, applied);
      return;
    }
    default:
      never(record.arbiter);
  }
}

/**
 * Level 2: nothing was compared, so a primary that is asleep may speak when it wakes, until its watchdog has ended it. What it said of
 * its own watchdog counts, if that is the slower one; and the lease runs from when it has noticed the loss too, as it renews until then:
 * here the cable's carrier may have told of it at once. Its yield, and its being verified off, need no lease.
 * @param waitedMs since the loss was noticed here. Answers ms from now on.
 */
export function leaseLeft({ level, record, timing, newest, now, partnerHeard, heardAt }: State, waitedMs: number): number {
  if (level !== 2 || record.standing !== 'duplexSecondary') return 0;
  const lostAt = now - waitedMs;
  const noticedAt = Math.max(lostAt, (partnerHeard ? lostAt : heardAt) + timing.heartbeatTimeoutMs);
  return Math.max(0, noticedAt + Math.max(timing.leaseMs, newest?.leaseMs ?? 0) - now);
}

function wasWitnessLost(s: State): boolean {
  return s.witness.configured && !s.witness.ok;
}

/** Asks for the next generation, from `delayMs` on. */
export function claim(work: Work, goal: ClaimGoal, by: ClaimState['by'], row: string, why: string, delayMs: number): void {
  const { state } = work;
  enter(work, 'claiming', why, { claim: { goal, by, row, why, askAt: state.now + delayMs, asked: false, unreachableSince: null } });
}

/** Phases of a primary whose partner may go on without it. */
const RUNS_SHARED: readonly PhaseKind[] = ['committing', 'duplex', 'steppingDown'];

/** Earlier lives of the partner whose late words are known as such: more than it can have had while one was on its way. */
const PAST_INCARNATIONS = 16;

export function onPartnerStatus(work: Work, status: PartnerStatus, path: 'link' | 'management'): void {
  const { state, commands } = work;
  if (status.pairId !== state.pairId || status.coServer === state.me) return;
  // One order over all paths: what was said earlier and arrives later is not true any more.
  const { newest } = state;
  if (newest?.incarnation === status.incarnation && status.revision < newest.revision) return;
  // The stream over the links knows which life of the partner is the present one; a datagram may be from an earlier one.
  const isPast = state.pastIncarnations.includes(status.incarnation) || (state.partner && state.partner.incarnation !== status.incarnation);
  if (path === 'management' && isPast) return;
  if (path === 'link' && newest && newest.incarnation !== status.incarnation)
    state.pastIncarnations = [...state.pastIncarnations, newest.incarnation]
      .filter((life) => life !== status.incarnation)
      .slice(-PAST_INCARNATIONS);
  state.newest = status;
  state.newestAt = state.now;
  if (path === 'link') {
    const restarted = state.partner !== null && state.partner.incarnation !== status.incarnation;
    state.partner = status;
    state.partnerPromotable = status.record.standing === 'duplexSecondary' && status.record.generation === state.record.generation;
    if (restarted) onPartnerGone(work, 'the partner restarted');
  }
  if (isShared(state) && status.record.generation > state.record.generation) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: newerRow(state),
      text: `The partner has generation ${status.record.generation}, this CoServer only ${state.record.generation}: it stops and rejoins.`,
    });
    stopOutdated(work, 'a newer generation runs on the partner');
    return;
  }
  if (status.asksYield && status.record.generation === state.record.generation && mayYield(state, status)) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '4',
      text: 'The partner is held and asks this CoServer to yield: it stops and rejoins.',
    });
    stopOutdated(work, 'the partner asked for it');
    return;
  }
  // Its process restarts under the running guest: it goes on without this side before it ends.
  const follows = state.phase.kind === 'secondary' || state.phase.kind === 'ready';
  if (path === 'link' && status.restarting && follows && RUNS_SHARED.includes(status.phase) && isShared(state)) {
    commands.push({
      kind: 'record',
      severity: 'info',
      row: '28',
      text: 'The process on the partner is restarted under the running guest: this CoServer leaves, and rejoins afterwards.',
    });
    stopOutdated(work, 'the process on the partner is restarted', { row: '28' });
    return;
  }
  // It lost this side, though this side lost nothing: the two no longer run as one, and only one of them knows.
  const { kind: own } = state.phase;
  const isAlone = status.phase === 'claiming' && status.record.standing === 'duplexSecondary';
  if (path === 'link' && isAlone && status.record.generation === state.record.generation && RUNS_SHARED.includes(own)) {
    onPartnerGone(work, 'the partner no longer follows');
    return;
  }
  // What the operator chose at the primary holds here after a takeover.
  if (state.phase.kind === 'secondary' && status.phase === 'duplex' && status.record.pinnedMode !== state.record.pinnedMode)
    persist(work, { pinnedMode: status.record.pinnedMode });
  if (isShared(state) && hasYielded(state, status, path)) {
    const { kind, claim } = state.phase;
    if (kind === 'duplex' || kind === 'committing' || kind === 'secondary' || kind === 'ready' || kind === 'claiming') {
      commands.push({ kind: 'freeze' });
      const goal = claim?.goal ?? (state.record.standing === 'duplexPrimary' ? 'continue' : 'takeOver');
      goSimplex(
        work,
        goal,
        yieldRowOf(state, status),
        status.record.maintenance ? 'the partner left for maintenance' : 'the partner yielded',
      );
    }
  }
}

export function onWitnessAnswer(
  work: Work,
  e: { generation: number; answer: 'granted' | 'refused' | 'unreachable' | 'unconfirmed'; reason: string },
): void {
  const { state, commands } = work;
  const c = state.phase.claim;
  if (state.phase.kind !== 'claiming' || !c || c.by !== 'witness' || e.generation !== state.record.generation) return;
  switch (e.answer) {
    case 'granted':
      // Heard since the loss over another path: the partner lives, only the links are down.
      goSimplex(work, c.goal, c.row === '5' && state.newestAt > state.phase.since ? '2' : c.row, c.why);
      return;
    case 'refused':
      if (state.record.standing === 'simplex') {
        // An owner is refused only if two were made, by force: what it wrote is a history of its own, and no arbiter gives it up.
        const { generation } = state.record;
        commands.push({
          kind: 'record',
          severity: 'critical',
          row: '25',
          text: `Two histories: this CoServer owns generation ${generation}, and the witness refused it (${e.reason}). Neither is overwritten; choose which one goes on.`,
        });
        enter(work, 'diverged', `the witness refused generation ${generation}: ${e.reason}`);
        state.toldDiverged = true;
        return;
      }
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: c.unreachableSince === null ? '2' : '3',
        text: `The witness refused (${e.reason}): the partner went on. This CoServer stops and rejoins.`,
      });
      stopOutdated(work, e.reason);
      return;
    case 'unreachable':
      notGranted(work, '7w', `the witness does not answer: ${e.reason}`, state.timing.claimRetryMs);
      return;
    case 'unconfirmed':
      notGranted(work, '10', `the witness decides nothing yet: ${e.reason}`, state.timing.claimRetryMs);
      return;
    default:
      never(e.answer);
  }
}

export function onFenced(work: Work, ok: boolean, reason: string): void {
  const { state, commands } = work;
  const c = state.phase.claim;
  if (state.phase.kind !== 'claiming' || c?.by !== 'fence' || !c.asked) {
    // Decided otherwise meanwhile, as by its yield: nobody wants it off.
    if (ok) commands.push({ kind: 'powerOnPartner' });
    return;
  }
  if (!ok) {
    notGranted(work, '7', `the partner cannot be switched off for certain: ${reason}`, state.timing.fenceRetryMs);
    return;
  }
  commands.push({ kind: 'record', severity: 'critical', row: c.row, text: `The partner is verified off: ${reason}.` });
  goSimplex(work, c.goal, c.row, c.why);
  commands.push({ kind: 'powerOnPartner' });
}

/** The arbiter does not help (now): frozen, and asked again. The partner, should it be heard on any path, is asked to yield. */
function notGranted(work: Work, row: string, why: string, retryMs: number): void {
  const { state } = work;
  const { phase } = state;
  if (!phase.claim) return;
  state.phase = { ...phase, claim: { ...phase.claim, asked: false, askAt: state.now + retryMs } };
  freezeUnarbitrated(work, why, row);
}

function freezeUnarbitrated({ state, commands }: Work, why: string, row: string): void {
  const { phase } = state;
  if (!phase.claim || phase.claim.unreachableSince !== null) return;
  state.phase = { ...phase, claim: { ...phase.claim, unreachableSince: state.now } };
  state.revision++;
  commands.push({
    kind: 'record',
    severity: 'critical',
    row,
    text: `Frozen: ${why}. Output stays withheld until the arbiter or the partner is back, or the operator decides.`,
  });
}

/** When time alone decides next and a tick would be late: every ms of a takeover is a client's. Null: the next tick is soon enough. */
export function dueAt({ phase }: State): number | null {
  return phase.kind === 'claiming' && phase.claim && !phase.claim.asked ? phase.claim.askAt : null;
}

/** What time alone decides: whom to ask, and when. */
export function tickArbitration(work: Work): void {
  const { state, commands } = work;
  const { record, phase } = state;
  const c = phase.claim;
  if (phase.kind !== 'claiming' || !c) return;
  const partner = state.partner ?? (state.otherPathUp ? state.newest : null);
  // Neither side has a grant and the partner is heard: the secondary yields, the primary goes on.
  if (
    partner?.phase === 'claiming' &&
    partner.record.standing === 'duplexPrimary' &&
    partner.record.generation === record.generation &&
    partner.asksYield &&
    mayYield(state, partner)
  ) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '4',
      text: 'No arbiter helps and the partner is heard: this CoServer yields to it.',
    });
    stopOutdated(work, 'yielded to the partner');
    return;
  }
  // The guest is lost here and no arbiter helps, and the partner is there with a copy that could not have gone on. One that is still being
  // made equal may be equal by now.
  const isSettled = state.partner?.phase === 'standby' || state.partner?.phase === 'isolated';
  if (
    c.unreachableSince !== null &&
    c.goal === 'start' &&
    (record.standing === 'simplex' || (isShared(state) && isSettled)) &&
    state.partner !== null &&
    state.partner.record.generation <= record.generation &&
    (state.partner.record.standing === 'outdated' ||
      state.partner.record.standing === 'inconsistent' ||
      state.partner.record.standing === 'fresh')
  ) {
    goSimplex(work, 'start', '4', 'the partner is back and holds no newer history');
    return;
  }
  if (c.asked || state.now < c.askAt) return;
  // It is back just now: its yield is on the way, and switched off it would stay off.
  const heardFor = state.partnerHeard ? state.now - state.partnerSince : Number.POSITIVE_INFINITY;
  if (c.by === 'fence' && heardFor < state.timing.yieldWithinMs) {
    state.phase = { ...phase, claim: { ...c, askAt: state.partnerSince + state.timing.yieldWithinMs } };
    return;
  }
  state.phase = { ...phase, claim: { ...c, asked: true } };
  switch (c.by) {
    case 'witness':
      commands.push({ kind: 'claim', generation: record.generation });
      return;
    case 'fence':
      // Said once: the further attempts of a frozen side would fill the history.
      if (c.unreachableSince === null)
        commands.push({
          kind: 'record',
          severity: 'critical',
          row: c.row,
          text: `Switches the partner off through its management controller: ${c.why}.`,
        });
      commands.push({ kind: 'fence', generation: record.generation });
      return;
    case 'none':
      goSimplex(work, c.goal, c.row, c.why);
      return;
    default:
      never(c.by);
  }
}
