// The steps of joining that both an answer and a look at the partner lead to: what is recorded on either side, and the way back.
import { firstArbiter } from './arbiters.ts';
import { act, enter, NO_AUDIT, type PartnerStatus, persist, type Work } from './state.ts';

/** Note of `incoming`. */
export const READY_HELD = 'holds the whole state of the guest';

/** The primary's record says duplex; its generation may be a newer one than when this copy was opened. */
export function mayFollow({ state: { record } }: Work, partner: PartnerStatus): boolean {
  return partner.phase === 'committing' && partner.record.standing === 'duplexPrimary' && partner.record.generation >= record.generation;
}

export function recordSecondary(work: Work, partner: PartnerStatus): void {
  persist(work, { generation: partner.record.generation, standing: 'duplexSecondary', arbiter: partner.record.arbiter });
  // A primary that restarted counts its wishes anew: an answer to an earlier one must not fit a new one.
  work.state.wishSeen = 0;
}

/** Level 2: the partner's copy is recorded as equal, and every write goes to both. */
export function mirrored(work: Work): void {
  const { state, commands } = work;
  enter(work, 'duplex', 'the disk is mirrored');
  state.audit = { ...NO_AUDIT, since: state.now };
  commands.push({
    kind: 'record',
    severity: 'info',
    row: null,
    text: `The disk is mirrored, as generation ${state.record.generation}: if this server fails, the guest is restarted on the other one.`,
  });
}

/** From here on this side may not go on alone without a grant: the record first, then the partner's. */
export function recordPrimary(work: Work, note: string): void {
  persist(work, { standing: 'duplexPrimary', arbiter: firstArbiter(work.state) });
  enter(work, 'committing', note);
}

export function backToStandby(work: Work, reason: string): void {
  // What is wrong with the disk was said already, and is tried again for as long as it takes.
  if (work.state.diskRefused === null)
    work.commands.push({ kind: 'record', severity: 'warning', row: null, text: `Stops following the partner: ${reason}.` });
  act(work, { kind: 'stopAll', reason }, 'standby', reason);
}
