// Who decides if the partner is lost now, for the consoles. What is valid is decided in arbiters.ts.
import { arbiterSentence, bestArbiter } from './arbiters.ts';
import type { ArbiterKind, ArbiterView, CoServerName } from './snapshot.ts';
import type { Arbiter, ArbiterSight, State } from './state.ts';
import { isShared } from './yields.ts';

export function arbiterView(s: State): ArbiterView {
  const { arbiter } = s.record;
  return {
    applies: isShared(s) || s.phase.kind === 'claiming',
    kind: kindOf(arbiter),
    named: namedOf(arbiter),
    sentence: sentenceOf(s),
    changingTo: changingTo(s),
    witness: { ...sight(s, s.witness), usable: s.witness.ok },
    fencePath: { ...sight(s, s.fence), proven: s.fence.ok },
    partnerWitness: s.partner?.arbiters.witness ?? null,
    partnerFencePath: s.partner?.arbiters.fence ?? null,
  };
}

function kindOf(arbiter: Arbiter): ArbiterKind {
  return arbiter === 'namedA' || arbiter === 'namedB' ? 'named' : arbiter;
}

export function namedOf(arbiter: Arbiter): CoServerName | null {
  return arbiter === 'namedA' ? 'A' : arbiter === 'namedB' ? 'B' : null;
}

function sight(s: State, { configured, reason, since }: ArbiterSight) {
  return { configured, reason, sinceMs: Math.max(0, Math.round(s.now - since)) };
}

function sentenceOf(s: State): string {
  if (s.phase.kind === 'claiming') {
    const by = s.phase.claim?.by;
    if (by === 'witness') return 'The partner is lost: the witness decides who goes on.';
    if (by === 'fence') return 'The partner is lost: whoever remains switches the other off, and goes on.';
    return `The partner is lost: only CoServer ${namedOf(s.record.arbiter) ?? 'that ran last'} may go on by itself.`;
  }
  if (isShared(s)) return `If the partner is lost now: ${arbiterSentence(s.record.arbiter)}`;
  return 'Nothing to decide while one CoServer runs alone: chosen anew when both run.';
}

/** The primary knows what it wants; the secondary what it is asked for. */
function changingTo(s: State): ArbiterKind | null {
  const { arbiter } = s.record;
  if (!isShared(s)) return null;
  const next =
    s.phase.kind === 'duplex' ? bestArbiter(s, arbiter) : s.phase.kind === 'secondary' ? (s.partner?.wish?.arbiter ?? arbiter) : arbiter;
  return next === arbiter ? null : kindOf(next);
}
