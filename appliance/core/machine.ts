// The table of contents of the product: one event in, the new state and the commands out. What a CoServer knows is in state.ts, what
// can happen to it and what it may order in events.ts. Pure: no clock, no I/O, no chance.
//
//   isolated --claim--> starting --> running --partner ready--> resyncing --> protecting --> committing --> duplex
//      |                                ^                                                                      |
//      v                                +------- continue (granted) <------ claiming <----- partner lost ------+
//   standby --> target --> incoming --> ready --> secondary --partner lost--> claiming --granted--> take over --> running
//      ^                                                                        |
//      +---------------------------------- refused, yielded --------------------+
//
// Level 2 has no memory to copy: resyncing --> committing --> duplex, target --> secondary, and who takes over starts the guest.

import { onArbiterSight, tickArbiters } from './arbiters.ts';
import { onPartnerGone, onPartnerStatus, onWitnessAnswer, tickArbitration } from './arbitration.ts';
import { onAudit, tickAudit } from './audit.ts';
import { onFinished } from './command-ends.ts';
import { onBlock, onCopies, onDiskFailed, onDiskJudged, tickNetwork } from './copies.ts';
import { onStream, onWorkload, PRIMARY_PHASES } from './engine-news.ts';
import { causeOf, evidenceOf } from './evidence.ts';
import { onFaults } from './hardware.ts';
import { onComparison, tickModes } from './modes.ts';
import { onStopRequested, onUps, tickMoves } from './moves.ts';
import { onQualification } from './qualification.ts';
import { onOperator } from './requests.ts';
import { tickRestart } from './restart.ts';
import { type Event, never, type State, type Step, statusOf, type Work } from './state.ts';
import { tickWorkload } from './workload.ts';

export { dueAt } from './arbitration.ts';
export * from './state.ts';

/** The one entry. The returned state is a new object; the given one is not changed. */
export function step(before: State, event: Event): Step {
  const work: Work = { state: { ...before, now: event.at }, commands: [] };
  switch (event.kind) {
    case 'tick':
      break;
    case 'linkObserved':
      onLink(work, event.link, event.up, event.silentMs);
      break;
    case 'partnerRestarted':
      work.state.partner = null;
      onPartnerGone(work, 'the partner restarted');
      break;
    case 'partnerSaid':
      onPartnerStatus(work, event.status, event.path);
      break;
    case 'otherPathObserved':
      work.state.otherPathUp = event.up;
      break;
    case 'arbiterAnswered':
      onWitnessAnswer(work, event);
      break;
    case 'witnessObserved':
      onArbiterSight(work, 'witness', event.usable, event.reason);
      break;
    case 'fencePathObserved':
      onArbiterSight(work, 'fence', event.proven, event.reason);
      break;
    case 'streamLost':
    case 'readyHeld':
    case 'intervalsStarted':
      onStream(work, event);
      break;
    case 'engineExited':
      onWorkload(work, event);
      break;
    case 'diskFailed':
      onDiskFailed(work, event.reason);
      break;
    case 'diskJudged':
      onDiskJudged(work, event.refusal);
      break;
    case 'blockUnreadable':
    case 'copiesDiffer':
      onBlock(work, event);
      break;
    case 'copiesObserved':
      onCopies(work, event);
      break;
    case 'faultsObserved':
      onFaults(work, event.faults);
      break;
    case 'qualificationJudged':
      onQualification(work, event.qualification);
      break;
    case 'businessNicObserved':
      if (work.state.businessUp !== event.up) work.state.revision++;
      work.state.businessUp = event.up;
      break;
    case 'upsObserved':
      onUps(work, event);
      break;
    case 'clockJumped':
      work.commands.push({
        kind: 'record',
        severity: 'warning',
        row: '30',
        text: `The wall clock jumped by ${(event.byMs / 1000).toFixed(1)} s. Nothing here decides on it; look at the time source.`,
      });
      break;
    case 'probed':
    case 'pageDiffered':
    case 'replicaPanicked':
      onAudit(work, event);
      break;
    case 'comparisonObserved':
      onComparison(work, event);
      break;
    case 'lateTick':
      work.state.wokeAt = work.state.now;
      work.commands.push({
        kind: 'record',
        severity: 'warning',
        row: '18',
        text: `This CoServer was asleep for ${Math.round(event.lateMs)} ms and suspects itself first.`,
      });
      break;
    case 'operatorRequested':
      onOperator(work, event.action, event.by);
      break;
    case 'stopRequested':
      onStopRequested(work);
      break;
    case 'commandFinished':
      onFinished(work, event.command, event.ok, event.reason);
      break;
    default:
      return never(event);
  }
  tickRestart(work);
  tickArbitration(work);
  tickMoves(work);
  tickWorkload(work);
  tickArbiters(work);
  tickNetwork(work);
  tickAudit(work);
  tickModes(work);
  tickWatchdog(work);
  if (work.state.revision !== before.revision) tellPartner(work);
  for (const c of work.commands) if (c.kind === 'record' && c.row !== null) c.evidence = evidenceOf(before, work.state, causeOf(event));
  return work;
}

/** The second line (rule 8): where a guest runs, a CoServer that hangs is ended by its watchdog. Never during a planned stop. */
function tickWatchdog({ state, commands }: Work): void {
  const { kind } = state.phase;
  const hasReplica = state.level === 3 && (kind === 'secondary' || kind === 'ready');
  const armed = PRIMARY_PHASES.includes(kind) || hasReplica;
  // While it is undecided or changing over, it stays as it was.
  if (kind === 'claiming' || kind === 'acting' || armed === state.watchdogArmed) return;
  // A server that ends itself may fail even in that: then the watchdog does it.
  if (state.phase.busy === 'endServer') return;
  state.watchdogArmed = armed;
  commands.push({ kind: 'armWatchdog', armed });
}

/** As early as it is true: right behind the last record that it speaks of, before what takes time. */
function tellPartner({ state, commands }: Work): void {
  const recorded = commands.findLastIndex((c) => c.kind === 'persist');
  commands.splice(recorded + 1, 0, { kind: 'say', status: statusOf(state) });
}

function onLink(work: Work, link: number, up: boolean, silentMs: number): void {
  const { state, commands } = work;
  const known = state.links[link];
  if (!known || known.up === up) return;
  state.links = state.links.map((l, i) => (i === link ? { up, since: state.now } : l));
  if (!up) state.heardAt = Math.max(state.heardAt, state.now - silentMs);
  const heard = state.links.some((l) => l.up);
  const name = `Link ${link + 1}`;
  if (up) commands.push({ kind: 'record', severity: 'info', row: null, text: `${name} is up.` });
  else if (heard)
    commands.push({
      kind: 'record',
      severity: 'warning',
      row: '1',
      text: `${name} is down (silent for ${Math.round(silentMs)} ms): everything goes over the other link.`,
    });
  else
    commands.push({
      kind: 'record',
      // Whose process said that it is restarted is soon back.
      severity: state.partner?.restarting ? 'info' : 'critical',
      row: null,
      text: `${name} is down (silent for ${Math.round(silentMs)} ms): the partner is not heard on any link.`,
    });
  if (heard === state.partnerHeard) return;
  state.partnerHeard = heard;
  state.partnerSince = state.now;
  if (!heard) {
    state.partner = null;
    onPartnerGone(work, 'the partner is silent on every link');
  }
}
