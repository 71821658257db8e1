// The protected workload: from a guest that runs alone to two replicas, one small step each time both sides are ready.
//
// Repair is level-driven: each side looks at its own phase and at what the partner says of itself, and takes the next
// step when both fit. A step that fails is undone as a whole (abandon the partner, run on alone) and tried again later,
// with a growing pause. The order at the end is the one that matters: the primary records "duplex" (it may then no
// longer go on without a grant) before the secondary does (it may then take over), and only then READY is released.
import { onPartnerGone } from './arbitration.ts';
import { freezeOnly } from './copies.ts';
import { backToStandby, mayFollow, mirrored, READY_HELD, recordSecondary } from './joint-steps.ts';
import { STABLE_MS } from './panics.ts';
import { whyNotQualified } from './qualification.ts';
import { fitsLevel, whyNotJoin } from './rejoin.ts';
import { goSimplex } from './simplex.ts';
import { act, type CommandName, enter, type PhaseKind, persist, type Work } from './state.ts';

export function tickWorkload(work: Work): void {
  const { state } = work;
  const { phase, partner, record } = state;
  if (
    (phase.kind === 'protecting' || (phase.kind === 'resyncing' && phase.busy)) &&
    (partner?.phase === 'standby' || partner?.phase === 'isolated')
  ) {
    onPartnerGone(work, 'the partner gave up');
    return;
  }
  if (phase.busy) return;
  switch (phase.kind) {
    case 'starting':
      // After a crash: the pause before the next attempt is over.
      if (state.now < state.retryAt) return;
      if (state.adoptable) {
        state.phase = { ...phase, busy: 'adoptGuest' };
        work.commands.push({ kind: 'adoptGuest', generation: record.generation });
        return;
      }
      state.phase = { ...phase, busy: 'startGuest' };
      work.commands.push({ kind: 'startGuest', generation: record.generation });
      return;
    case 'running': {
      // It failed on the way here, as while the partner was being given up.
      if (state.diskFailed !== null) {
        freezeOnly(work, state.diskFailed);
        return;
      }
      if (state.failures > 0 && state.now - phase.since >= STABLE_MS) state.failures = 0;
      if (partner?.phase !== 'standby' || partner.record.standing === 'simplex' || state.now < state.retryAt) return;
      if (whyNotJoin(work) !== null) return;
      const isSame = partner.record.generation === record.generation;
      // It gave up a history with the same or a higher number (row 25): this one goes on above it, so that no word of it fits any more.
      if (partner.record.generation > record.generation || (isSame && partner.record.standing === 'outdated'))
        persist(work, { generation: partner.record.generation + 1 });
      enter(work, 'resyncing', 'the partner is ready to be made equal');
      return;
    }
    case 'resyncing':
      if (partner?.diskFailed) enter(work, 'running', "the partner's disk failed");
      else if (partner?.phase === 'target') start(work, 'resync');
      return;
    case 'protecting':
      if (partner?.phase === 'incoming') start(work, 'protect');
      return;
    case 'committing':
      if (partner?.record.standing !== 'duplexSecondary' || partner.record.generation !== record.generation) return;
      if (state.level === 2) {
        if (partner.phase === 'secondary') mirrored(work);
      } else if (partner.phase === 'ready') start(work, 'releaseReady');
      return;
    case 'diverged':
      // The partner's history was given up: its durable word is a yield.
      if (!partner || partner.record.standing === 'simplex') return;
      persist(work, { generation: Math.max(record.generation, partner.record.generation) });
      goSimplex(work, 'start', '25', 'the history of the partner was given up');
      return;
    case 'standby':
      if (record.keep !== null) {
        if (state.now < state.retryAt) return;
        state.phase = { ...phase, busy: 'keepHistory' };
        work.commands.push({ kind: 'keepHistory', generation: record.keep });
        return;
      }
      if (!partner || record.maintenance || state.diskFailed !== null || state.now < state.retryAt) return;
      // A word from before the partner went above this side's generation: the next one follows.
      if (partner.record.generation < record.generation) return;
      if (state.stop || whyNotQualified(state) !== null || !fitsLevel(work, partner)) return;
      if (partner.phase === 'resyncing' && partner.record.standing === 'simplex') {
        persist(work, {
          generation: partner.record.generation,
          standing: 'inconsistent',
          arbiter: partner.record.arbiter,
          workloadOff: partner.record.workloadOff,
          pinnedMode: partner.record.pinnedMode,
        });
        start(work, 'openTarget');
      }
      return;
    case 'target':
      if (!partner) return;
      if (partner.phase === 'protecting') start(work, 'openIncoming');
      else if (state.level === 2 && mayFollow(work, partner)) start(work, 'confirmCopy');
      else if (GIVES_UP.includes(partner.phase)) backToStandby(work, 'the partner gave up making this copy equal');
      return;
    case 'incoming':
      if (!partner) return;
      if (partner.phase === 'committing' && partner.record.standing === 'duplexPrimary' && phase.note === READY_HELD) {
        recordSecondary(work, partner);
        enter(work, 'ready', 'equal: waits for the first interval');
      } else if (partner.phase === 'running' || partner.phase === 'isolated' || partner.phase === 'frozen')
        backToStandby(work, 'the partner gave up the protection');
      return;
    case 'secondary':
    case 'ready':
      if (partner?.phase === 'steppingDown' && phase.kind === 'secondary') {
        persist(work, { standing: 'outdated', wasPrimary: false });
        start(work, 'leaveLockstep');
      }
      return;
    case 'steppingDown':
      // The partner's yield first: until then this side may not let output go by itself.
      if (record.standing === 'duplexPrimary') {
        if (partner?.record.standing !== 'outdated' || partner.record.generation !== record.generation) return;
        persist(work, { standing: 'simplex', generation: record.generation + 1 });
      }
      if (phase.next === 'off') {
        const text = 'The partner has yielded: what ran here is ended, and nobody starts the guest until you do.';
        work.commands.push({ kind: 'record', severity: 'info', row: null, text });
        act(work, { kind: 'stopAll', reason: 'the guest shut down' }, 'off', 'the guest shut down');
      } else start(work, 'shutDownGuest');
      return;
    default:
      return;
  }
}

/** Of a partner that was to make this copy equal. Claiming: its process restarted, and it waits for this side's word. */
const GIVES_UP: readonly PhaseKind[] = ['running', 'isolated', 'off', 'claiming', 'frozen'];
type Simple = Extract<
  CommandName,
  'resync' | 'protect' | 'releaseReady' | 'openTarget' | 'openIncoming' | 'confirmCopy' | 'leaveLockstep' | 'shutDownGuest'
>;

function start(work: Work, command: Simple): void {
  work.state.phase = { ...work.state.phase, busy: command };
  work.commands.push({ kind: command });
}
