// Figures of lockstep for the core and the consoles: what the gate compared, second by second, and what the audit asked.

import type { State } from '../core/machine.ts';
import { effectiveMode, modeSentence } from '../core/modes.ts';
import type { AuditView, LockstepView } from '../core/snapshot.ts';
import type { GateStatus, ProbeVerdict } from '../gate/api.ts';
import { CHECKPOINT_CAUSES, type CheckpointCause, type PrimaryStatistics } from '../gate/lockstep/api.ts';

const WINDOW_MS = 60_000;

const LABELS: Record<CheckpointCause, string> = {
  data: 'data the other replica did not send in time',
  syn: 'a connection the other replica did not open in time',
  fin: 'an end of connection the other replica did not send in time',
  rst: 'a reset the other replica did not send',
  ack: 'an acknowledgement the other replica did not reach in time',
  different: 'different bytes',
  datagram: 'a datagram the other replica did not send',
  opaque: 'a frame that is never compared',
  unknown: 'a connection not followed from its start',
  window: 'a smaller receive window on the other replica',
  full: 'no room to hold more',
  passive: 'comparison switched off',
};

interface Sample {
  atMs: number;
  agreed: number;
  waited: number;
  causes: Record<CheckpointCause, number>;
}

export interface Comparison {
  agreed: number;
  waited: number;
  asked: number;
}

export class LockstepFigures {
  #last: PrimaryStatistics | null = null;
  #samples: Sample[] = [];
  #probes = { sent: 0, answered: 0, missing: 0, lastAnsweredAt: null as number | null };
  #pages = { checked: 0, perSecond: 0, total: 0 };
  #pagesAt = 0;

  /** @returns What happened since the last status, null when nothing did. */
  observe(status: GateStatus): Comparison | null {
    const now = performance.now();
    const current = status.lockstep?.primary ?? null;
    const before = this.#last;
    this.#last = current;
    if (!current || !before || current.releasedByComparison < before.releasedByComparison) return null;
    const causes = { ...current.causes };
    for (const cause of CHECKPOINT_CAUSES) causes[cause] -= before.causes[cause];
    const sample: Sample = {
      atMs: now,
      agreed: current.releasedByComparison - before.releasedByComparison,
      waited: current.releasedByCommit - before.releasedByCommit,
      causes,
    };
    const asked = CHECKPOINT_CAUSES.filter((c) => c !== 'passive').reduce((sum, c) => sum + causes[c], 0);
    if (sample.agreed + sample.waited + asked + causes.passive === 0) return null;
    this.#samples = [...this.#samples.filter((s) => now - s.atMs < WINDOW_MS), sample];
    return { agreed: sample.agreed, waited: sample.waited, asked };
  }

  probed(verdict: ProbeVerdict): void {
    const p = this.#probes;
    p.sent++;
    if (verdict.kind === 'answered') {
      p.answered++;
      p.lastAnsweredAt = Date.now();
    } else if (verdict.kind !== 'silent') p.missing++;
  }

  pagesChecked(checked: number, total: number): void {
    const now = performance.now();
    const seconds = (now - this.#pagesAt) / 1000;
    this.#pages = { checked, total, perSecond: Math.max(0, Math.round((checked - this.#pages.checked) / seconds)) };
    this.#pagesAt = now;
  }

  /** Counts begin anew with each protection. */
  reset(): void {
    this.#probes = { sent: 0, answered: 0, missing: 0, lastAnsweredAt: null };
    this.#pages = { checked: 0, perSecond: 0, total: 0 };
    this.#samples = [];
  }

  lockstep(state: State): LockstepView | null {
    if (state.phase.kind !== 'duplex') return null;
    const now = performance.now();
    const samples = this.#samples.filter((s) => now - s.atMs < WINDOW_MS);
    const agreed = samples.reduce((sum, s) => sum + s.agreed, 0);
    const frames = agreed + samples.reduce((sum, s) => sum + s.waited, 0);
    const causes = CHECKPOINT_CAUSES.map((cause) => ({
      cause,
      label: LABELS[cause],
      total: this.#last?.causes[cause] ?? 0,
      perMinute: samples.reduce((sum, s) => sum + s.causes[cause], 0),
    }));
    return {
      mode: effectiveMode(state),
      pinned: state.record.pinnedMode,
      since: Math.round(Date.now() - (now - Math.max(state.policy.since, state.phase.since))),
      sentence: modeSentence(state),
      agreedShare: frames > 0 ? agreed / frames : null,
      causes: causes.filter((c) => c.total > 0).sort((a, b) => b.perMinute - a.perMinute || b.total - a.total),
    };
  }

  audit(state: State): AuditView | null {
    const name = auditState(state);
    if (!name) return null;
    return { state: name, sentence: SENTENCES[name], probes: { ...this.#probes }, pages: { ...this.#pages } };
  }
}

const SENTENCES: Record<AuditView['state'], string> = {
  awaited: 'The secondary has not yet answered a probe on a loaded checkpoint: not called protected before.',
  proven: 'The secondary answers what the primary answers, and its memory is compared all the time.',
  broken: 'The secondary was found broken: the workload runs alone until it is replaced.',
  unprovable: 'The replica cannot be asked over the network: it is judged by its memory alone.',
};

function auditState(state: State): AuditView['state'] | null {
  if (state.phase.kind === 'secondary') return state.partner?.proved ? 'proven' : 'awaited';
  return state.audit.state === 'off' ? null : state.audit.state;
}
