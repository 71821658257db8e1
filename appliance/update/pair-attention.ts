// What of an update of the pair belongs on the first page of a console: why the pair is not duplex just now, and a question that waits. Pure.
import type { AttentionView } from '../core/snapshot.ts';
import type { PairUpdateStatus } from './pair-status.ts';

export function pairAttention(pair: Pick<PairUpdateStatus, 'target' | 'state' | 'text' | 'asksRestartGuest'> | null): AttentionView[] {
  if (pair === null || pair.state === 'done' || pair.state === 'stopped') return [];
  const common = { kind: 'update' as const, sentence: pair.text, row: null, leftMs: null };
  if (!pair.asksRestartGuest)
    return [
      { ...common, severity: 'info', title: `The pair is being updated to ${pair.target}`, endsWhen: ['both CoServers run it'], ways: [] },
    ];
  return [
    {
      ...common,
      severity: 'warning',
      title: `The update of the pair to ${pair.target} waits for your word`,
      endsWhen: [],
      ways: [{ text: 'On the page of the software, or by twinstep update pair: let the guest restart, or stop the update.', action: null }],
    },
  ];
}
