import type { State } from '../core/machine.ts';

/** The role as a heartbeat frame carries it. */
export function roleNumber(s: State): number {
  switch (s.phase.kind) {
    case 'secondary':
    case 'ready':
      return 2;
    case 'duplex':
    case 'running':
    case 'resyncing':
    case 'protecting':
    case 'committing':
    case 'starting':
      return 1;
    case 'failed':
    case 'off':
      return 3;
    default:
      return 0;
  }
}
