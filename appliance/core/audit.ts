// Is the secondary fit to take over? Decides when "protected" may be said, and when it is withdrawn.
//
// A secondary can be dead inside while its engine lives: its guest panicked, its memory lost a page, its clock stands still. Nobody
// would notice before the takeover. So both guests are asked the same questions for ever (the gate's probes), and pages of
// memory are compared (the checkpoint stream). Only the runtime asks; what the answers mean is decided here.
//
//   off --duplex--> awaited --answered after the first commits--> proven --missing, different, page--> broken --> protected anew
//                      `--the guest itself answers nobody--> unprovable (memory alone is compared)
import { claimAfterLoss, onPartnerGone } from './arbitration.ts';
import { type Audit, type Event, type IncidentKind, NO_AUDIT, type State, setRetry, type Work } from './state.ts';
import { stopOutdated } from './yields.ts';

/** Interval 1 runs on the first copy of the memory; an answer in interval 2 or later stands on a loaded checkpoint. */
const PROVEN_FROM_INTERVAL = 2;
/** One answer may be lost, or given a moment after the guest was set up anew; a second one in a row to the same question is no accident. */
const WRONG_LIMIT = 2;
/** The primary answers none of so many probes, for so long: its guest does not speak on this network. */
const SILENT_LIMIT = 5;
const SILENT_MS = 10_000;
/** A secondary that was fit for so long: the next incident is the first of its row again. */
const STABLE_MS = 60_000;
/** Answers that stopped coming prove nothing any more. */
const STALE_MS = 30_000;

/** May "protected" be said? Level 2 has no replica that could be unfit: its copy was confirmed before it was recorded as equal. */
export function isProved(s: State): boolean {
  if (s.level === 2) return true;
  return s.audit.state === 'proven' || s.audit.state === 'unprovable';
}

/** Both replicas run from now on. */
export function beginAudit({ state }: Work): void {
  // A pair whose gate never feeds the replica cannot ask it.
  state.audit = { state: state.canCompare ? 'awaited' : 'unprovable', since: state.now, missing: {}, silent: 0, answeredAt: state.now };
  state.revision++;
}

export function onAudit(work: Work, e: Extract<Event, { kind: 'probed' | 'pageDiffered' | 'replicaPanicked' }>): void {
  const { state } = work;
  const { audit } = state;
  if (state.level === 2) return;
  if (e.kind === 'pageDiffered') {
    broken(work, 'pageDiffers', e.detail);
    return;
  }
  if (e.kind === 'replicaPanicked') {
    if (state.phase.kind === 'secondary' || state.phase.kind === 'ready') broken(work, 'guestPanic', e.reason);
    return;
  }
  if (state.phase.kind !== 'duplex') return;
  switch (e.outcome) {
    case 'answered':
      state.audit = { ...audit, missing: { ...audit.missing, [e.probe]: 0 }, silent: 0, answeredAt: state.now };
      if (audit.state !== 'proven' && e.interval >= PROVEN_FROM_INTERVAL) proven(work);
      return;
    case 'missing':
    case 'different': {
      const inRow = (audit.missing[e.probe] ?? 0) + 1;
      state.audit = { ...audit, missing: { ...audit.missing, [e.probe]: inRow } };
      if (inRow >= WRONG_LIMIT)
        broken(work, e.outcome === 'missing' ? 'probeMissing' : e.probe === 'clock' ? 'clockStuck' : 'probeDifferent', e.detail);
      return;
    }
    case 'silent':
      state.audit = { ...audit, silent: audit.silent + 1 };
      return;
  }
}

export function tickAudit(work: Work): void {
  const { state, commands } = work;
  const { audit } = state;
  if (state.phase.kind !== 'duplex') {
    // Broken: until it runs alone, so that the partner hears why it should yield.
    const isLeaving = audit.state === 'broken' && (state.phase.kind === 'claiming' || state.phase.kind === 'acting');
    if (audit.state !== 'off' && !isLeaving) state.audit = { ...NO_AUDIT, since: state.now };
    return;
  }
  if (isProved(state) && state.now - audit.since >= STABLE_MS) state.failures = 0;
  const silentMs = state.now - audit.answeredAt;
  if (audit.state === 'awaited' && silentMs >= SILENT_MS && audit.silent >= SILENT_LIMIT) {
    change(work, 'unprovable');
    commands.push({
      kind: 'record',
      severity: 'warning',
      row: null,
      text: 'The guest answers no probe on its network: the secondary is judged by its memory alone.',
    });
  } else if (audit.state === 'proven' && silentMs >= STALE_MS) {
    change(work, 'awaited');
    commands.push({
      kind: 'record',
      severity: 'warning',
      row: null,
      text: `The secondary has not been heard for ${Math.round(silentMs / 1000)} s: it is no longer called protected until it answers.`,
    });
  }
}

function proven(work: Work): void {
  change(work, 'proven');
  work.commands.push({
    kind: 'record',
    severity: 'info',
    row: null,
    text: 'Duplex: the secondary answered a probe after its first commits. Either server may fail now.',
  });
}

function change({ state }: Work, to: Audit['state']): void {
  state.audit = { ...state.audit, state: to, since: state.now };
  state.revision++;
}

/**
 * The secondary is unfit. Its CoServer yields by itself; the primary withholds, asks for the right to run alone and is protected anew,
 * later each time it happens in a row. The witness and the partner's yield are asked at once: whichever answers first.
 */
export function broken(work: Work, kind: IncidentKind, detail: string): void {
  const { state, commands } = work;
  switch (state.phase.kind) {
    case 'protecting':
      // READY is held: what the synchronisation lost shows now, and is said only once. Nothing is shared yet, so nobody is asked.
      commands.push({ kind: 'incident', incident: kind, sentence: `The secondary replica is broken: ${detail}.` });
      onPartnerGone(work, `the audit found the secondary broken: ${detail}`);
      setRetry(work);
      return;
    case 'committing':
    case 'duplex':
      commands.push({ kind: 'freeze' });
      commands.push({ kind: 'incident', incident: kind, sentence: `The secondary replica is broken: ${detail}.` });
      setRetry(work);
      claimAfterLoss(work, 'continue', `the audit found the secondary broken: ${detail}`, 0, '31');
      state.audit = { ...state.audit, state: 'broken', since: state.now };
      return;
    case 'secondary':
    case 'ready':
      commands.push({
        kind: 'incident',
        incident: kind,
        sentence: `The replica here is broken: ${detail}. This CoServer yields and rejoins.`,
      });
      stopOutdated(work, detail);
      return;
    default:
      return;
  }
}
