// Going simplex: generation g+1 on the own disk, then output. In that order, and only from where the right to it is certain.
import { countLoss } from './rejoin.ts';
import { act, type ClaimGoal, enter, never, persist, type Work } from './state.ts';

export function goSimplex(work: Work, goal: ClaimGoal, row: string, why: string, forced = false): void {
  const { state, commands } = work;
  if (goal !== 'start') countLoss(work, row);
  persist(work, { generation: state.record.generation + 1, standing: 'simplex', forced });
  const generation = state.record.generation;
  switch (goal) {
    case 'start':
      commands.push({
        kind: 'record',
        severity: forced ? 'critical' : 'info',
        row,
        text: `This CoServer may run generation ${generation}: ${why}.`,
      });
      // The guest had switched itself off when the partner was lost.
      if (state.record.workloadOff) act(work, { kind: 'stopAll', reason: why }, 'off', 'the workload is switched off');
      else enter(work, 'starting', why);
      return;
    case 'takeOver':
      if (state.level === 2) {
        commands.push({
          kind: 'record',
          severity: severityOf(row),
          row,
          text: `Starts the guest here as generation ${generation}: ${why}. Not redundant until the partner is back.`,
        });
        enter(work, 'starting', why, { busy: 'startGuest' });
        commands.push({ kind: 'startGuest', generation, row, reason: why });
        return;
      }
      commands.push({
        kind: 'record',
        severity: severityOf(row),
        row,
        text: `Takes over as generation ${generation}: ${why}. Not redundant until the partner is back.`,
      });
      act(work, { kind: 'takeOver', generation, row, reason: why }, 'running', why);
      return;
    case 'continue':
      commands.push({
        kind: 'record',
        severity: severityOf(row),
        row,
        text: `Runs on alone as generation ${generation}: ${why}. Not redundant until the partner is back.`,
      });
      act(work, { kind: 'continueAlone', generation, row, reason: why }, 'running', why);
      return;
    default:
      never(goal);
  }
}

/** What is planned alarms nobody. */
function severityOf(row: string): 'info' | 'warning' | 'critical' {
  return row === '28' ? 'info' : row === '16' ? 'warning' : 'critical';
}
