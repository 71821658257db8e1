// The table of contents of the product: one event in, the new state and the commands out. What a CoServer knows, what can
// happen to it and what it may order is in state.ts. Pure: no clock, no I/O, no chance.
//
//   isolated --claim--> starting --> running --partner ready--> resyncing --> protecting --> committing --> duplex
//      |                                ^                                                                      |
//      v                                +------- continue (granted) <------ claiming <----- partner lost ------+
//   standby --> target --> incoming --> ready --> secondary --partner lost--> claiming --granted--> take over --> running
//      ^                                                                        |
//      +---------------------------------- refused, yielded --------------------+
import { onArbiterAnswer, onPartnerGone, onPartnerStatus, tickArbitration } from './arbitration.ts';
import { onAudit, tickAudit } from './audit.ts';
import { onComparison, tickModes } from './modes.ts';
import { onOperator } from './requests.ts';
import { type Event, never, type PhaseKind, type State, type Step, statusOf, type Work } from './state.ts';
import { onFinished, onStream, onWorkload, tickWorkload } from './workload.ts';

export { dueAt } from './arbitration.ts';
export * from './state.ts';

const RUNS_HERE: ReadonlySet<PhaseKind> = new Set(['running', 'resyncing', 'protecting', 'committing', 'duplex', 'claiming']);

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
      if (event.path === 'link') onPartnerStatus(work, event.status);
      break;
    case 'otherPathObserved':
    case 'fencePathObserved':
    case 'upsObserved':
      break;
    case 'arbiterAnswered':
      onArbiterAnswer(work, event);
      break;
    case 'streamLost':
    case 'readyHeld':
    case 'intervalsStarted':
      onStream(work, event);
      break;
    case 'engineExited':
    case 'diskFailed':
      onWorkload(work, event);
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
      work.commands.push({
        kind: 'record',
        severity: 'warning',
        row: '18',
        text: `This CoServer was asleep for ${Math.round(event.lateMs)} ms and suspects itself first.`,
      });
      break;
    case 'operatorRequested':
      onOperator(work, event.action);
      break;
    case 'commandFinished':
      onFinished(work, event.command, event.ok, event.reason);
      break;
    default:
      return never(event);
  }
  tickArbitration(work);
  tickWorkload(work);
  tickAudit(work);
  tickModes(work);
  const armed = RUNS_HERE.has(work.state.phase.kind);
  if (armed !== RUNS_HERE.has(before.phase.kind)) work.commands.push({ kind: 'armWatchdog', armed });
  if (work.state.revision !== before.revision) tellPartner(work);
  return work;
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
      severity: 'critical',
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
