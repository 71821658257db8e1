// When both copies of the disk are compared, and which of two blocks that differ is right.
//
// Each copy keeps a checksum of every block it was given. A block that does not fit its own has changed by itself, so it is the wrong one;
// one that fits says only that it is what was written *there*. Two that both fit, or of which nothing is known, leave it open: then nobody
// may choose but the operator.

/**
 *  fits        it is what was written
 *  wrong       it is not
 *  unknown     it can be read; nothing is known of it
 *  unreadable  the medium does not give it back
 */
export type BlockCondition = 'fits' | 'wrong' | 'unknown' | 'unreadable';

/**
 *  fine        equal, and nothing speaks against it
 *  renew       equal on both, but a checksum does not fit: two copies do not change in the same way, so the checksum is what is wrong
 *  unreadable  of one copy; the other one has it
 *  own, partner  they differ: this one is right
 *  neither     they differ, or neither can be read, and nothing says which
 */
export type BlockVerdict = 'fine' | 'renew' | 'ownUnreadable' | 'partnerUnreadable' | 'own' | 'partner' | 'neither';

export function judgeBlock(own: BlockCondition, partner: BlockCondition, isEqual: boolean): BlockVerdict {
  if (own === 'unreadable' || partner === 'unreadable') {
    const left = own === 'unreadable' ? partner : own;
    // The only one that can be read is known to have changed.
    if (left === 'unreadable' || left === 'wrong') return 'neither';
    return own === 'unreadable' ? 'ownUnreadable' : 'partnerUnreadable';
  }
  if (isEqual) return own === 'wrong' || partner === 'wrong' ? 'renew' : 'fine';
  if (own === partner) return 'neither';
  if (own === 'fits' || partner === 'wrong') return 'own';
  return 'partner';
}

export interface ScrubPlan {
  /** Wall clock ms, as the rest. Of the last comparison, or when this copy was first seen. */
  since: number;
  /** How far the one that is under way came; null: none is. */
  at: number | null;
}

/** Is it time for the next comparison, or to go on with one that was cut short? @param everyHours 0: only when the operator asks. */
export function scrubDue(plan: ScrubPlan, now: number, everyHours: number): boolean {
  if (everyHours === 0) return false;
  if (plan.at !== null) return true;
  // A clock that was set back must not put it off for years.
  return now - plan.since >= everyHours * 3_600_000 || now < plan.since;
}

/**
 * The pause after a step: so that the rate is kept, and that the disks are busy with it for a fifth of the time at most. A step that takes
 * long because the guest needs the disks is followed by a long pause.
 */
export function pauseAfterStep(stepBytes: number, tookMs: number, rateBytesPerS: number): number {
  return Math.max((stepBytes * 1000) / rateBytesPerS - tookMs, 4 * tookMs);
}
