// The witness's own decisions (core/witness.ts) with a memory on paper.
import type { State } from '../../appliance/core/machine.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import {
  decideClaim,
  decideReport,
  unconfirmedReason,
  type WitnessAnswer,
  type WitnessGroup,
  witnessReportOf,
  witnessStart,
} from '../../appliance/core/witness.ts';

export class PaperWitness {
  #lives = 1;
  #group: WitnessGroup = witnessStart(null, 'life 1');

  /** It starts anew; what it remembers is on its disk, or the disk is new too. */
  restart(memory: 'kept' | 'lost'): void {
    this.#group = witnessStart(memory === 'kept' ? this.#group.memory : null, `life ${++this.#lives}`);
  }

  /** Where a CoServer stands. Why it would decide nothing for it now, or '': it would. */
  report(coServer: CoServerName, state: State, at: number): string {
    const report = { coServer, incarnation: state.incarnation, ...witnessReportOf(state), seen: null, at };
    this.#group = decideReport(this.#group, report).group;
    return this.#group.confirmed ? '' : unconfirmedReason(this.#group);
  }

  claim(claimant: CoServerName, generation: number): WitnessAnswer {
    const { group, answer } = decideClaim(this.#group, { claimant, generation, seen: null });
    this.#group = group;
    return answer;
  }
}
