// The yield: a CoServer's own durable word that it stopped, outdated at generation g, and will not claim g+1. Always allowed, over any
// path, in every mode. Here: who gives it, when it may be asked for, and when the partner's counts. What follows is arbitration's.
import { act, type ClaimState, type PartnerStatus, persist, type State, type Work } from './state.ts';

/** The states in which the record says duplex and the guest's state is shared: a loss of the partner must be arbitrated. */
export function isShared(s: State): boolean {
  return s.record.standing === 'duplexPrimary' || s.record.standing === 'duplexSecondary';
}

/** Stops, durably outdated first: this generation is never claimed again by this side. */
export function stopOutdated(work: Work, reason: string, more: { maintenance?: boolean; keep?: number; row?: string } = {}): void {
  work.commands.push({ kind: 'freeze' });
  recordYield(work, more);
  act(work, { kind: 'stopAll', reason }, 'standby', reason);
}

/** Only the word; whoever gives it has withheld the output before, and stops. */
export function recordYield(work: Work, more: { maintenance?: boolean; keep?: number; row?: string }): void {
  const { record } = work.state;
  work.state.yieldRow = more.row ?? null;
  persist(work, {
    ...(more.maintenance === undefined ? {} : { maintenance: more.maintenance }),
    ...(more.keep === undefined ? {} : { keep: more.keep }),
    standing: 'outdated',
    wasPrimary: record.standing === 'outdated' ? record.wasPrimary : record.standing === 'duplexPrimary',
  });
}

/**
 * Not while the arbiter may be granting this side: both would stop. The primary never yields to a secondary that only lost a
 * stream; a side that restarted has no guest to lose and yields to one that has.
 */
export function mayYield({ phase, record, level, adoptable }: State, asking: PartnerStatus): boolean {
  const { claim } = phase;
  // At level 2 the memory of the guest is here alone: what the partner would start is a guest that lost it.
  const keepsGuest = level === 2 && adoptable && record.standing === 'duplexPrimary';
  if (keepsGuest) return false;
  if (phase.kind === 'isolated') return record.standing === 'duplexSecondary' || record.standing === 'duplexPrimary';
  if (asking.record.standing !== 'duplexPrimary') return phase.kind === 'claiming' && claim?.goal === 'start' && !isAsking(claim);
  if (phase.kind === 'claiming') {
    // Restarted as well, and at level 2: the primary may have kept the guest, this side has nothing that it has not.
    const hasLess = claim?.goal === 'takeOver' || (level === 2 && record.standing === 'duplexSecondary');
    return claim !== null && hasLess && !isAsking(claim) && (claim.by !== 'witness' || claim.unreachableSince !== null);
  }
  return phase.kind === 'secondary' || phase.kind === 'ready';
}

/** A grant may be on its way. */
function isAsking(claim: ClaimState): boolean {
  return claim.asked && claim.by !== 'none';
}

/** The row to apply on the partner's yield: its own reason; or that of a claim which the yield only ended sooner. */
export function yieldRowOf({ phase: { claim } }: State, p: PartnerStatus): string {
  if (p.record.maintenance) return '28';
  if (claim && (claim.goal === 'start' || claim.row === '31')) return claim.row;
  return p.yieldRow ?? '4';
}

/**
 * The partner's own durable word: stopped and outdated at our generation; or it gave up before it was ever recorded as
 * our secondary, with a copy that nobody may use.
 */
export function hasYielded({ record, phase }: State, p: PartnerStatus, path: 'link' | 'management'): boolean {
  if (p.record.generation !== record.generation) return false;
  if (p.record.standing === 'outdated') return true;
  const isUndecided = phase.kind === 'committing' || (phase.kind === 'claiming' && phase.claim?.goal === 'continue');
  // Not by a datagram: it may be equal by now, and this one late.
  return path === 'link' && p.record.standing === 'inconsistent' && p.phase === 'standby' && isUndecided;
}

/** The partner went on: after a sleep of this side, a restart of it, or a loss of the links alone. */
export function newerRow({ phase, wokeAt, now, timing }: State): string {
  if (phase.kind === 'isolated') return '21';
  return wokeAt !== null && now - wokeAt < timing.restartGraceMs ? '18' : '2';
}
