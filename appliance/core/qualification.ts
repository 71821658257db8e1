// May these two servers run in lockstep? What hwqual found when it compared them acts here: without a pass there is no joining at level 3.
import type { Qualification, State, Work } from './state.ts';

export function onQualification(work: Work, q: Qualification): void {
  const { state, commands } = work;
  const before = state.qualification;
  state.qualification = q;
  if (before?.verdict === q.verdict && before.sentence === q.sentence) return;
  // Until the partner has told what it is made of there is nothing to say.
  if (q.verdict === 'unknown' && before === null) return;
  commands.push({
    kind: 'record',
    severity: q.verdict === 'passed' ? 'info' : 'critical',
    row: null,
    text:
      q.verdict === 'passed'
        ? `The two servers qualify for lockstep: ${q.sentence}`
        : `The two servers do not qualify for lockstep: ${q.sentence}`,
  });
}

/** Null: they may run in lockstep, or nobody asks. Level 2 needs no two of a kind. */
export function whyNotQualified({ level, mustQualify, qualification: q }: State): string | null {
  if (!mustQualify || level !== 3 || q?.verdict === 'passed') return null;
  return q
    ? `the two servers do not qualify for lockstep: ${q.sentence}`
    : 'it is not known yet whether the two servers qualify for lockstep';
}
