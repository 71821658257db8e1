// Who may run. A CoServer that loses its partner while duplex withholds output at once and asks the witness; only a
// grant, made durable, lets it go on. A refused one stops, durably outdated, and rejoins.
//
// Going simplex is: grant of (generation g -> g+1) at the witness, then the record {simplex, g+1} on the own disk, then
// output. The partner's own durable yield ("outdated at g") replaces the grant. Nothing else does.
import { enter, persist, type State, type Work } from './state.ts';

/** The states in which the record says duplex and the guest's state is shared: a loss of the partner must be arbitrated. */
export function isShared(s: State): boolean {
  return s.record.standing === 'duplexPrimary' || s.record.standing === 'duplexSecondary';
}

/** The partner is silent, restarted, or a stream to it broke: the two no longer run as one. */
export function onPartnerGone(work: Work, why: string): void {
  const { state, commands } = work;
  switch (state.phase.kind) {
    case 'committing':
    case 'duplex':
      commands.push({ kind: 'freeze' });
      claim(work, 'continue', state.partnerHeard ? '2' : '5', why, 0);
      return;
    case 'ready':
    case 'secondary':
      commands.push({ kind: 'freeze' });
      claim(work, 'takeOver', '5', why, state.timing.secondaryBiasMs);
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
      act(work, 'running', why);
      commands.push({ kind: 'abandonPartner', reason: why });
      return;
    case 'steppingDown':
      if (state.record.standing !== 'duplexPrimary') return;
      commands.push({ kind: 'freeze' });
      claim(work, 'continue', '5', why, 0);
      return;
    case 'target':
    case 'incoming':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: null,
        text: `The partner was lost while this copy was being made equal (${why}): this copy must not be used.`,
      });
      act(work, 'standby', why);
      commands.push({ kind: 'stopAll', reason: why });
      return;
    default:
      return;
  }
}

export function claim(work: Work, goal: 'start' | 'takeOver' | 'continue', row: string, why: string, delayMs: number): void {
  const { state } = work;
  enter(work, 'claiming', why, { claim: { goal, row, why, askAt: state.now + delayMs, asked: false, unreachableSince: null } });
}

/** Enters `acting`: a command follows whose end leads to `next`. */
function act(work: Work, next: 'running' | 'standby', note: string): void {
  enter(work, 'acting', note, { next });
}

export function onPartnerStatus(work: Work, status: State['partner'] & object): void {
  const { state, commands } = work;
  if (status.pairId !== state.pairId || status.coServer === state.me) return;
  const known = state.partner;
  if (known && known.incarnation === status.incarnation && status.revision < known.revision) return;
  const restarted = known !== null && known.incarnation !== status.incarnation;
  state.partner = status;
  state.partnerPromotable = status.record.standing === 'duplexSecondary' && status.record.generation === state.record.generation;
  if (restarted) onPartnerGone(work, 'the partner restarted');
  if (isShared(state) && status.record.generation > state.record.generation) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '18',
      text: `The partner runs generation ${status.record.generation}, this CoServer only ${state.record.generation}: it stops and rejoins.`,
    });
    stopOutdated(work, 'a newer generation runs on the partner');
    return;
  }
  if (status.asksYield && status.record.generation === state.record.generation && mayYield(state)) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '4',
      text: 'The primary withholds output and asks this CoServer to yield: it stops and rejoins.',
    });
    stopOutdated(work, 'the primary asked for it');
    return;
  }
  // What the operator chose at the primary holds here after a takeover.
  if (state.phase.kind === 'secondary' && status.phase === 'duplex' && status.record.pinnedMode !== state.record.pinnedMode)
    persist(work, { pinnedMode: status.record.pinnedMode });
  if (
    isShared(state) &&
    yielded(state) &&
    (state.phase.kind === 'duplex' ||
      state.phase.kind === 'committing' ||
      state.phase.kind === 'secondary' ||
      state.phase.kind === 'ready' ||
      state.phase.kind === 'claiming')
  ) {
    if (state.phase.kind === 'claiming' && state.phase.claim?.goal === 'start') return;
    commands.push({ kind: 'freeze' });
    goSimplex(work, state.record.standing === 'duplexPrimary' ? 'continue' : 'takeOver', '4', 'the partner yielded');
  }
}

/** Not while the arbiter may be granting this side: both would stop. */
function mayYield({ phase }: State): boolean {
  if (phase.kind === 'claiming') return phase.claim?.goal === 'takeOver' && phase.claim.unreachableSince !== null && !phase.claim.asked;
  return phase.kind === 'secondary' || phase.kind === 'ready';
}

/**
 * The partner's own durable word: stopped and outdated at our generation; or it gave up before it was ever recorded as
 * our secondary, with a copy that nobody may use.
 */
function yielded(state: State): boolean {
  const p = state.partner;
  if (!p || p.record.generation !== state.record.generation) return false;
  return (
    p.record.standing === 'outdated' || (p.record.standing === 'inconsistent' && p.phase === 'standby' && state.phase.kind === 'committing')
  );
}

export function onArbiterAnswer(
  work: Work,
  e: { generation: number; answer: 'granted' | 'refused' | 'unreachable'; reason: string },
): void {
  const { state, commands } = work;
  state.arbiterReachable = e.answer !== 'unreachable';
  const c = state.phase.claim;
  if (state.phase.kind !== 'claiming' || !c || e.generation !== state.record.generation) return;
  switch (e.answer) {
    case 'granted':
      goSimplex(work, c.goal, c.row, c.why);
      return;
    case 'refused':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row: '2',
        text: `The witness refused (${e.reason}): the partner went on. This CoServer stops and rejoins.`,
      });
      stopOutdated(work, e.reason);
      return;
    case 'unreachable': {
      const first = c.unreachableSince === null;
      // The partner, should it be heard, is asked to yield.
      if (first) state.revision++;
      if (first)
        commands.push({
          kind: 'record',
          severity: 'critical',
          row: '7w',
          text: `The witness does not answer (${e.reason}): output stays withheld until the witness or the partner returns.`,
        });
      state.phase = {
        ...state.phase,
        claim: { ...c, asked: false, askAt: state.now + state.timing.claimRetryMs, unreachableSince: c.unreachableSince ?? state.now },
      };
      return;
    }
  }
}

function goSimplex(work: Work, goal: 'start' | 'takeOver' | 'continue', row: string, why: string): void {
  const { state, commands } = work;
  persist(work, { generation: state.record.generation + 1, standing: 'simplex' });
  const generation = state.record.generation;
  switch (goal) {
    case 'start':
      commands.push({ kind: 'record', severity: 'info', row, text: `This CoServer may run generation ${generation}: ${why}.` });
      enter(work, 'starting', why);
      return;
    case 'takeOver':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row,
        text: `Takes over as generation ${generation}: ${why}. Not redundant until the partner is back.`,
      });
      act(work, 'running', why);
      commands.push({ kind: 'takeOver', generation, row, reason: why });
      return;
    case 'continue':
      commands.push({
        kind: 'record',
        severity: 'critical',
        row,
        text: `Runs on alone as generation ${generation}: ${why}. Not redundant until the partner is back.`,
      });
      act(work, 'running', why);
      commands.push({ kind: 'continueAlone', generation, row, reason: why });
      return;
  }
}

/** Stops, durably outdated first: this generation is never claimed again by this side. */
export function stopOutdated(work: Work, reason: string): void {
  work.commands.push({ kind: 'freeze' });
  const { record } = work.state;
  persist(work, {
    standing: 'outdated',
    wasPrimary: record.standing === 'outdated' ? record.wasPrimary : record.standing === 'duplexPrimary',
  });
  act(work, 'standby', reason);
  work.commands.push({ kind: 'stopAll', reason });
}

/** When time alone decides next and a tick would be late: every ms of a takeover is a client's. Null: the next tick is soon enough. */
export function dueAt({ phase }: State): number | null {
  return phase.kind === 'claiming' && phase.claim && !phase.claim.asked ? phase.claim.askAt : null;
}

/** What time alone decides: whom to ask, and when. */
export function tickArbitration(work: Work): void {
  const { state, commands } = work;
  const { record, partner } = state;
  let { phase } = state;
  if (phase.kind === 'isolated') decideAfterRestart(work);
  // Both yielded in the same moment, so neither went on (a grant would have moved the generation): the primary's copy leads.
  if (
    phase.kind === 'standby' &&
    record.standing === 'outdated' &&
    record.wasPrimary &&
    partner?.phase === 'standby' &&
    partner.record.standing === 'outdated' &&
    partner.record.generation === record.generation
  ) {
    claim(work, 'start', '21', 'both sides had yielded, this copy leads', 0);
  }
  phase = state.phase;
  if (phase.kind !== 'claiming' || !phase.claim) return;
  const c = phase.claim;
  // Neither side has a grant, the witness is away, and the partner is back: the secondary yields, the primary goes on.
  if (
    c.unreachableSince !== null &&
    c.goal === 'takeOver' &&
    partner?.phase === 'claiming' &&
    partner.record.generation === record.generation
  ) {
    commands.push({
      kind: 'record',
      severity: 'critical',
      row: '4',
      text: 'The witness is away and the partner is back: this CoServer yields to it.',
    });
    stopOutdated(work, 'yielded to the partner');
    return;
  }
  if (!c.asked && state.now >= c.askAt) {
    state.phase = { ...phase, claim: { ...c, asked: true } };
    commands.push({ kind: 'claim', generation: record.generation });
  }
}

/** After a restart nothing runs here until the record, the partner and the witness agree that it may. */
function decideAfterRestart(work: Work): void {
  const { state, commands } = work;
  const { record, partner, phase } = state;
  const waited = state.now - phase.since;
  if (partner && partner.record.generation > record.generation && partner.record.standing !== 'fresh') {
    if (record.standing !== 'outdated' && record.standing !== 'fresh' && record.standing !== 'inconsistent')
      persist(work, { standing: 'outdated' });
    enter(work, 'standby', `the partner has generation ${partner.record.generation}`);
    return;
  }
  switch (record.standing) {
    case 'fresh':
      if (!partner) return;
      if (partner.record.standing === 'fresh' && state.me === 'A') claim(work, 'start', '21', 'both CoServers are new, A leads', 0);
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
        claim(work, 'start', partner ? '21' : '22', 'it was the recorded simplex owner', 0);
      return;
    case 'duplexPrimary':
    case 'duplexSecondary': {
      if (partner) {
        const leads =
          record.standing === 'duplexPrimary' ||
          partner.record.standing === 'outdated' ||
          partner.record.standing === 'inconsistent' ||
          partner.record.standing === 'fresh';
        // Still running the same generation over there: that side claims or waits; it decides by its own rules.
        if (partner.phase === 'isolated' || partner.phase === 'standby') {
          if (leads) claim(work, 'start', '21', 'both were down, this copy leads', 0);
          else if (partner.record.standing === 'duplexPrimary') return;
        }
        return;
      }
      if (waited >= state.timing.restartGraceMs) claim(work, 'start', '23', 'the partner did not return, and its last state was duplex', 0);
      return;
    }
  }
}
