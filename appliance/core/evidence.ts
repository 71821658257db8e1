// What a CoServer knew when it applied a row of the decision table: kept with the record, so that "why did it stop?" has an answer.
import { describe } from './faults/told.ts';
import { type Event, never, type PartnerStatus, type State } from './state.ts';
import { inWords } from './words.ts';

/** Lines, at most 8. `before` is the state the event found, which the handler may already have changed. */
export function evidenceOf(before: State, after: State, cause: string): string[] {
  const { partner, newest } = before;
  const lines = [
    `cause: ${cause}`,
    `record: generation ${before.record.generation}, ${inWords(before.record.standing)}, arbiter ${inWords(before.record.arbiter)}`,
    `phase: ${inWords(before.phase.kind)} for ${seconds(after.now - before.phase.since)}`,
    `links: ${before.links.map((l, i) => `${i + 1} ${l.up ? 'up' : 'down'} for ${seconds(after.now - l.since)}`).join(', ')}`,
    partner
      ? `partner: ${said(partner)}`
      : newest && before.otherPathUp
        ? `partner, over the management path: ${said(newest)}`
        : 'partner: nothing known',
  ];
  if (before.witness.configured) lines.push(`witness: ${before.witness.ok ? 'usable' : before.witness.reason}`);
  if (before.fence.configured) lines.push(`way to the partner's BMC: ${before.fence.ok ? 'proven' : before.fence.reason}`);
  return lines;
}

function said({ phase, record }: PartnerStatus): string {
  return `${inWords(phase)}, generation ${record.generation}, ${inWords(record.standing)}`;
}

function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}

/** An event in words, short. */
export function causeOf(e: Event): string {
  switch (e.kind) {
    case 'tick':
      return 'time';
    case 'linkObserved':
      return `link ${e.link + 1} ${e.up ? 'up' : `silent for ${Math.round(e.silentMs)} ms`}`;
    case 'partnerRestarted':
      return 'the partner restarted';
    case 'partnerSaid':
      return `the partner said it is ${said(e.status)}${e.path === 'management' ? ', over the management path' : ''}`;
    case 'otherPathObserved':
      return `management path ${e.up ? 'up' : 'down'}`;
    case 'arbiterAnswered':
      return `witness: ${e.answer}${e.reason ? `, ${e.reason}` : ''}`;
    case 'witnessObserved':
      return `witness ${e.usable ? 'usable' : `not usable: ${e.reason}`}`;
    case 'fencePathObserved':
      return `way to the partner's BMC ${e.proven ? 'proven' : `not proven: ${e.reason}`}`;
    case 'streamLost':
      return `${e.stream} stream lost (${e.cause}): ${e.reason}`;
    case 'readyHeld':
      return 'the secondary holds the whole state of the guest';
    case 'intervalsStarted':
      return 'the first interval began';
    case 'engineExited':
      return `engine ended (${inWords(e.cause)}): ${e.reason}`;
    case 'probed':
      return `probe ${e.probe}: ${e.outcome}`;
    case 'replicaPanicked':
    case 'diskFailed':
      return e.reason;
    case 'diskJudged':
      return e.refusal ?? "the disk here is this pair's";
    case 'pageDiffered':
      return e.detail;
    case 'comparisonObserved':
      return `${e.agreed} frames agreed, ${e.waited} waited, ${e.asked} checkpoints asked for`;
    case 'blockUnreadable':
      return `block at ${e.offset} of the ${e.side} copy cannot be read`;
    case 'copiesDiffer':
      return `copies differ at ${e.offset}, checksum fits ${e.fits}`;
    case 'copiesObserved':
      return `${e.scrubbing ? 'the copies are being compared' : 'the copies are not being compared'}, ${e.quarantined.length} blocks in quarantine`;
    case 'faultsObserved':
      return e.faults.length === 0 ? 'the hardware has no fault' : `faults of the hardware: ${e.faults.map(describe).join('; ')}`;
    case 'qualificationJudged':
      return e.qualification
        ? `qualification: ${e.qualification.verdict}, ${e.qualification.sentence}`
        : 'it is not known what the partner is made of';
    case 'businessNicObserved':
      return `business NIC ${e.up ? 'up' : 'without carrier'}`;
    case 'upsObserved':
      return `UPS ${e.onBattery ? (e.low ? 'low' : 'on battery') : 'on mains'}`;
    case 'lateTick':
      return `asleep for ${Math.round(e.lateMs)} ms`;
    case 'clockJumped':
      return `wall clock jumped by ${e.byMs} ms`;
    case 'operatorRequested':
      return `the operator asked: ${e.action}${e.by ? `, at ${e.by}` : ''}`;
    case 'stopRequested':
      return 'this process was asked to end';
    case 'commandFinished':
      return `${inWords(e.command)}: ${e.ok ? 'done' : 'failed'}${e.reason ? `, ${e.reason}` : ''}`;
    default:
      return never(e);
  }
}
