// May these two servers run in lockstep? What hwqual found when it compared them acts here: without a pass there is no joining at level 3.
import type { Qualification, State, Work } from './state.ts';

/** @param q Null: the partner has not told, in this life of it, what it is made of. */
export function onQualification(work: Work, q: Qualification | null): void {
  const { state, commands } = work;
  const before = state.qualification;
  state.qualification = q;
  if (q === null || (before?.verdict === q.verdict && before.sentence === q.sentence)) return;
  // At level 2 it changes nothing: while an update brings another engine it is even as it must be.
  const isNeeded = state.level === 3;
  commands.push({
    kind: 'record',
    severity: q.verdict === 'passed' || !isNeeded ? 'info' : 'critical',
    row: null,
    text:
      q.verdict === 'passed'
        ? `The two servers qualify for lockstep: ${q.sentence}`
        : `The two servers do not qualify for lockstep${isNeeded ? '' : ', which protection level 2 does not need'}: ${q.sentence}`,
  });
}

/** Null: they may run in lockstep, or nobody asks. Level 2 needs no two of a kind. */
export function whyNotQualified({ level, mustQualify, qualification: q }: State): string | null {
  if (!mustQualify || level !== 3 || q?.verdict === 'passed') return null;
  return q
    ? `the two servers do not qualify for lockstep: ${q.sentence}`
    : 'it is not known yet whether the two servers qualify for lockstep';
}
